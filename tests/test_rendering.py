import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.notation import apply_full
from evolve.rendering import render_files, tree


def test_one_file_is_one_block_in_its_language():
    assert render_files({"a.py": "x = 1\n"}) == "```python\nx = 1\n```\n"
    assert render_files({"main.cpp": "int x;"}) == "```cpp\nint x;\n```\n"


def test_several_files_come_with_their_tree_in_the_order_given():
    text = render_files({"main.py": "import lib.a\n", "lib/a.py": "x = 1\ny = 2\n"})
    assert text.startswith(
        "```text\nlib/\n  a.py  (2 lines)\nmain.py  (1 line)\n```\n\n### main.py\n\n```python\nimport lib.a\n```\n"
    )
    assert text.endswith("\n### lib/a.py\n\n```python\nx = 1\ny = 2\n```\n")


def test_folders_are_named_once():
    assert tree({"a/b/c.py": "", "a/b/d.py": "", "a/e.py": ""}) == (
        "a/\n  b/\n    c.py  (0 lines)\n    d.py  (0 lines)\n  e.py  (0 lines)\n"
    )


@given(st.text(alphabet="`\n x", max_size=40))
def test_no_file_ends_its_own_block(text):
    first, *_, last = render_files({"a.md": text}).rstrip("\n").split("\n")
    fence = first.removesuffix("markdown")
    assert last == fence
    inside = render_files({"a.md": text})[len(first) + 1 : -len(fence) - 1]
    assert not any(line.strip(" ").startswith(fence) for line in inside.split("\n"))


MARKED = "# EVOLVE-BLOCK-START\n{}\n# EVOLVE-BLOCK-END\n"


@pytest.mark.parametrize(
    ("parent", "edited"),
    [
        ({"a.py": "x = 1\n", "pkg/b.py": "y = 2\n", "pkg/__init__.py": ""}, {"a.py": "x = 2\n"}),
        ({"a.py": MARKED.format("x = 1"), "b.py": "fixed = '```'\n"}, {"a.py": MARKED.format("x = 2")}),
        ({"a.py": "s = '''\n```\nhi\n```\n'''\n"}, {"a.py": "s = '''\n```\nho\n```\n'''\n"}),
        ({"a.py": "x = 1\r\ny = 2\r\n", "b.py": "no end"}, {"a.py": "x = 1\r\ny = 3\r\n"}),
        ({"a.py": "x = 1\n", "b.py": "y = 1\n"}, {"a.py": ""}),
        ({"a.py": "# <think>\nx = 1\n", "b.py": "y = 1\n"}, {"a.py": "# <think>\nx = 2\n"}),
    ],
)
def test_files_that_an_agent_edited_are_read_back_from_its_answer_as_they_are(parent, edited):
    child = {**parent, **edited}
    assert apply_full(f"> I edited it.\n\n{render_files(child)}", parent) == child
