import pytest

from evolve.archive.canonical import canonical_tokens

PYTHON = """import numpy as np
LIMIT = 3

def area(width, height=2.0, *rest):
    total = width * height
    for row, column in enumerate(rest):
        total += row.size + column
    with open("x") as file:
        scale: float = 0.5
    key = lambda item: item[scale]
    return np.sum(total) * LIMIT

def other(width):
    return width.total
"""
SCRIPT = """const LIMIT = 3; // a note
function area(width, height) {
  let total = width * height; /* another */
  for (const [left, right] of pairs) total += left.size + right;
  return rows.map((item) => item + total);
}
"""


def same(path: str, one: str, two: str) -> bool:
    return canonical_tokens(path, one) == canonical_tokens(path, two)


@pytest.mark.parametrize("name", ["LIMIT", "height", "rest", "row", "column", "file", "scale", "key", "item"])
def test_names_that_python_binds_do_not_count(name):
    assert same("a.py", PYTHON, PYTHON.replace(name, f"{name}_2"))


def test_a_name_is_numbered_function_by_function():
    assert same("a.py", PYTHON, PYTHON.replace("def other(width):\n    return width.total", "def other(w):\n    return w.total"))
    more = PYTHON.replace("    total = width", "    extra = 1\n    total = width")
    assert canonical_tokens("a.py", more)[-12:] == canonical_tokens("a.py", PYTHON)[-12:]


@pytest.mark.parametrize("name", ["np", "numpy", "area", "other", "size", "enumerate"])
def test_names_of_functions_modules_and_attributes_count(name):
    assert not same("a.py", PYTHON, PYTHON.replace(name, f"{name}_2"))


@pytest.mark.parametrize(
    ("old", "new"),
    [("width * height", "height * height"), ("row.size + column", "column.size + row"), ("0.5", "0.25"), ("+=", "-=")],
)
def test_what_a_program_does_with_its_names_counts(old, new):
    assert not same("a.py", PYTHON, PYTHON.replace(old, new))


@pytest.mark.parametrize("name", ["LIMIT", "width", "height", "total", "left", "right", "item"])
def test_names_that_a_script_binds_do_not_count(name):
    assert same("a.js", SCRIPT, SCRIPT.replace(name, f"{name}_2"))


def test_comments_do_not_count_in_other_languages():
    assert same("a.js", SCRIPT, SCRIPT.replace("// a note", "").replace("/* another */", "\n"))
    assert same("a.jl", "x = 1 # one", "x = 1")


def test_keyword_arguments_are_not_targets():
    assert "step" in canonical_tokens("a.py", "f(size, step=2)\n")
    assert "size" in canonical_tokens("a.py", "f(size, step=2)\n")


def test_python_that_cannot_be_read_is_split_all_the_same():
    assert canonical_tokens("a.py", "x = (1  # open") == ["$0", "=", "(", "1"]
