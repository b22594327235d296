import errno
import re

import pytest

from evolve.errors import IsolationError
from evolve.evaluators.sandbox import available_levels, landlock, probe, require_level, seccomp, strongest_level
from evolve.program import Isolation


def test_every_level_is_reported_weakest_first():
    reports = available_levels()
    assert [report.level for report in reports] == list(Isolation)
    assert all(report.detail for report in reports)


def test_the_strongest_level_is_available():
    require_level(strongest_level())


def test_without_bubblewrap_strong_is_refused_and_names_the_others(no_bubblewrap):
    with pytest.raises(IsolationError, match=r"strong is not available: bubblewrap is not installed.*available: process"):
        require_level(Isolation.STRONG)


def test_without_bubblewrap_the_level_falls(no_bubblewrap):
    assert strongest_level() is not Isolation.STRONG


@pytest.mark.parametrize(("number", "remedy"), [(errno.ENOSYS, "5.13"), (errno.EOPNOTSUPP, "lsm="), (errno.EPERM, "seccomp")])
def test_a_kernel_without_landlock_says_what_to_do(monkeypatch, probed_anew, number, remedy):
    def refuse():
        raise OSError(number, "refused")

    monkeypatch.setattr(landlock, "abi", refuse)
    for report in available_levels()[1:]:
        assert not report.available
        assert remedy in report.detail
    assert strongest_level() is Isolation.PROCESS


def test_an_older_landlock_says_what_it_lacks(monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: 3)
    report = available_levels()[1]
    assert report.available
    assert report.detail.startswith("Landlock version 3: files; ")


def test_a_piece_that_the_kernel_refuses_is_named(monkeypatch, probed_anew):
    if Isolation.STRONG not in [report.level for report in available_levels() if report.available]:
        pytest.skip("level strong is not available here")
    probe.what_strong_lacks.cache_clear()
    monkeypatch.setattr(seccomp, "program", lambda: b"\xff" * 8)
    assert re.search(r"refuses a part of it: .*seccomp: Invalid argument; ", probe.what_strong_lacks())
