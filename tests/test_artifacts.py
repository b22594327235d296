import pytest

from evolve import artifacts
from evolve.errors import ConfigError


def test_files_are_written_to_a_folder_that_is_made_for_them(tmp_path):
    folder = tmp_path / "a" / "b"
    assert artifacts.write({"z.txt": b"z", "a.txt": b"a"}, folder) == ("a.txt", "z.txt")
    assert (folder / "z.txt").read_bytes() == b"z"


def test_without_files_no_folder_is_made(tmp_path):
    assert artifacts.write({}, tmp_path / "a") == ()
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write to "):
        artifacts.write({"a.txt": b"a"}, tmp_path / "file")
