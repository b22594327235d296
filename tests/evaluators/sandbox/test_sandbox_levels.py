import errno

import pytest

from evolve.errors import IsolationError
from evolve.evaluators.sandbox import available_levels, landlock, require_level, strongest_level
from evolve.program import Isolation


def test_every_level_is_reported_weakest_first():
    reports = available_levels()
    assert [report.level for report in reports] == list(Isolation)
    assert all(report.detail for report in reports)


def test_the_strongest_level_is_available():
    require_level(strongest_level())


def test_a_level_that_is_not_built_in_is_refused_with_the_others():
    with pytest.raises(IsolationError, match=r"strong is not available: it is not built into this version.*available: process"):
        require_level(Isolation.STRONG)


@pytest.mark.parametrize(("number", "remedy"), [(errno.ENOSYS, "5.13"), (errno.EOPNOTSUPP, "lsm="), (errno.EPERM, "seccomp")])
def test_a_kernel_without_landlock_says_what_to_do(monkeypatch, number, remedy):
    def refuse():
        raise OSError(number, "refused")

    monkeypatch.setattr(landlock, "abi", refuse)
    report = available_levels()[1]
    assert not report.available
    assert remedy in report.detail
    assert strongest_level() is Isolation.PROCESS


def test_an_older_landlock_says_what_it_lacks(monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: 3)
    report = available_levels()[1]
    assert report.available
    assert report.detail.startswith("Landlock version 3: files; ")
