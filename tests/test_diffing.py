import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.diffing import unified

LINES = st.lists(st.sampled_from(["a", "b", "c = 1", "", "  d"]), max_size=8)


def test_equal_sources_have_no_difference():
    assert unified({"a.py": "x = 1\n"}, {"a.py": "x = 1\n"}) == ""


def test_files_that_come_and_go_are_named():
    text = unified({"old.py": "x\n"}, {"new.py": "y\n"})
    assert "--- /dev/null\n+++ b/new.py" in text
    assert "--- a/old.py\n+++ /dev/null" in text


def test_a_last_line_without_its_end_says_so():
    assert unified({"a": "x"}, {"a": "y\n"}).splitlines()[3:] == ["-x", "\\ No newline at end of file", "+y"]


@pytest.mark.slow
@given(before=LINES, after=LINES)
def test_applying_the_difference_gives_the_newer_source(tmp_path_factory, before, after):
    old, new = "\n".join(before), "\n".join([*after, ""])
    text = unified({"a.py": old}, {"a.py": new})
    folder = tmp_path_factory.mktemp("patch")
    (folder / "a.py").write_text(old)
    if text:
        subprocess.run(["git", "apply", "--whitespace=nowarn"], input=text, cwd=folder, text=True, check=True, capture_output=True)
    found = (folder / "a.py").read_text() if (folder / "a.py").exists() else ""
    assert found == (new if text else old)
