import itertools
from pathlib import Path

import pytest

from evolve.evaluators.sandbox import bubblewrap, visible


@pytest.fixture
def bwrap(monkeypatch):
    monkeypatch.setattr(bubblewrap, "executable", lambda: "/usr/bin/bwrap")


def pairs(words):
    return list(itertools.pairwise(words))


def test_only_what_is_visible_is_bound_and_all_of_it_for_reading(bwrap):
    words = bubblewrap.command(visible.Visible((Path("/usr/lib"),), frozenset()), ["/bin/true"])
    bound = {word for option, word in pairs(words) if option == "--ro-bind"}
    assert "/usr/lib" in bound
    assert not any(word in ("/", "/home", "/tmp", "/etc", "/usr") for word in bound)
    assert "--bind" not in words
    assert words[-2:] == ["--", "/bin/true"]


def test_a_hidden_folder_below_a_visible_one_is_covered(bwrap, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "a.pth").touch()
    hidden = frozenset([tmp_path / "package", tmp_path / "package" / "inner.py", tmp_path / "a.pth", Path("/nowhere")])
    words = bubblewrap.command(visible.Visible((tmp_path,), hidden), ["/bin/true"])
    assert ("--tmpfs", str(tmp_path / "package")) in pairs(words)
    assert ("/dev/null", str(tmp_path / "a.pth")) in pairs(words)
    assert str(tmp_path / "package" / "inner.py") not in words
    assert "/nowhere" not in words


def test_the_folder_for_temporary_files_is_a_link_unless_something_visible_lies_there(bwrap):
    links = {path: bubblewrap.command(visible.Visible((Path(path),), frozenset()), ["x"]) for path in ("/usr/lib", "/tmp/env")}
    assert "/tmp" in links["/usr/lib"]
    assert ("/scratch/run/tmp", "/tmp") not in pairs(links["/tmp/env"])


def test_an_ordinary_user_gets_a_user_namespace_and_root_does_not(bwrap, monkeypatch):
    nothing = visible.Visible((), frozenset())
    monkeypatch.setattr(bubblewrap.os, "geteuid", lambda: 1000)
    assert "--unshare-user" in bubblewrap.command(nothing, ["x"])
    monkeypatch.setattr(bubblewrap.os, "geteuid", lambda: 0)
    assert "--unshare-user" not in bubblewrap.command(nothing, ["x"])


def test_accelerators_are_there_only_when_asked_for(bwrap, monkeypatch):
    monkeypatch.setattr(bubblewrap, "gpu_devices", lambda: [Path("/dev/nvidia0")])
    nothing = visible.Visible((), frozenset())
    assert "/dev/nvidia0" in bubblewrap.command(nothing, ["x"], gpus=0.5)
    assert "/dev/nvidia0" not in bubblewrap.command(nothing, ["x"])


def test_without_bubblewrap_there_is_no_command(no_bubblewrap):
    with pytest.raises(FileNotFoundError, match="bubblewrap"):
        bubblewrap.command(visible.Visible((), frozenset()), ["x"])
