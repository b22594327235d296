import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.diffing import unified

LINES = st.lists(st.sampled_from(["a", "b", "c = 1", "", "  d"]), max_size=8) | st.lists(
    st.sampled_from(["a", "b", ""]), min_size=20, max_size=60
)


def test_equal_sources_have_no_difference():
    assert unified({"a.py": "x = 1\n"}, {"a.py": "x = 1\n"}) == ""


def test_files_that_come_and_go_are_named():
    text = unified({"old.py": "x\n"}, {"new.py": "y\n"})
    assert "--- /dev/null\n+++ b/new.py" in text
    assert "--- a/old.py\n+++ /dev/null" in text


def test_a_last_line_without_its_end_says_so():
    assert unified({"a": "x"}, {"a": "y\n"}).splitlines()[3:] == ["-x", "\\ No newline at end of file", "+y"]


def test_hunks_have_their_context_and_the_numbers_of_their_lines():
    old = [f"{number}\n" for number in range(1, 31)]
    new = [*old[:9], "ten\n", *old[10:19], *old[20:], "end\n"]
    assert unified({"a": "".join(old)}, {"a": "".join(new)}, context=1).splitlines()[2:] == [
        *("@@ -9,3 +9,3 @@", " 9", "-10", "+ten", " 11"),
        *("@@ -19,3 +19,2 @@", " 19", "-20", " 21"),
        *("@@ -30 +29,2 @@", " 30", "+end"),
    ]


def test_lines_that_are_everywhere_are_no_landmarks_and_still_match_beside_one():
    old, new = ([line for number in range(20) for line in (f"{name} {number}\n", "\n")] for name in ("old", "new"))
    old[20] = new[24] = "landmark\n"
    text = unified({"a": "".join(old)}, {"a": "".join(new)}, context=0)
    assert "-landmark" not in text
    assert text.count("\n@@") == 2


def test_a_change_among_repeated_lines_is_a_change_of_one_line():
    same = ["    x = step(x)\n"] * 100
    text = unified({"a": "".join(same)}, {"a": "".join([*same[:50], "    x = jump(x)\n", *same[51:]])}, context=0)
    assert text.splitlines()[2:] == ["@@ -51 +51 @@", "-    x = step(x)", "+    x = jump(x)"]


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
