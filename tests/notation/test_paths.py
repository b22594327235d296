"""Which lines name a file."""

from __future__ import annotations

import pytest

from evolve.notation import EditRefused
from evolve.notation.paths import named_by_fence, named_by_line

FILES = {"main.py": "", "lib/tools.py": "", "lib/deep/tools.py": "", "lib/deep/only.py": "", "Makefile": ""}


@pytest.mark.parametrize(
    "line",
    [
        "main.py",
        "### main.py",
        "**main.py**",
        "**`main.py`**:",
        "`main.py`",
        "File: main.py",
        "**File:** `main.py`",
        "filename: main.py",
        "# main.py",
        "// main.py",
        "2. main.py",
        "- `main.py`",
        "--- main.py ---",
        "./main.py",
        "  main.py  ",
        "Path: 'main.py'",
    ],
)
def test_a_path_may_be_dressed_in_many_ways(line):
    assert named_by_line(line, FILES) == "main.py"


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("deep/tools.py", "lib/deep/tools.py"),
        ("only.py", "lib/deep/only.py"),
        ("## Makefile", "Makefile"),
        ("lib/tools.py", "lib/tools.py"),
    ],
)
def test_the_last_folders_are_enough_where_they_fit_one_file(line, path):
    assert named_by_line(line, FILES) == path


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Here is main.py:",
        "I changed `main.py` and lib/tools.py",
        "### Improvements",
        "e.g.",
        "v1.2",
        "requirements.txt",
        "file",
        "###",
    ],
)
def test_prose_names_no_file(line):
    assert named_by_line(line, FILES) is None


@pytest.mark.parametrize("line", ["### other.py", "tools.py", "src/main.py", "`lib/none.py`:"])
def test_a_path_that_fits_no_file_or_several_is_refused(line):
    with pytest.raises(EditRefused, match=r"its files are Makefile, lib/deep/only\.py, .*Name a file as it is named there"):
        named_by_line(line, FILES)


@pytest.mark.parametrize("info", ["python main.py", "python:main.py", 'py title="main.py"', "main.py", "{.python file=main.py}"])
def test_a_fence_may_name_a_file(info):
    assert named_by_fence(info, FILES) == "main.py"


def test_a_fence_may_name_none():
    assert named_by_fence("python", FILES) is None
