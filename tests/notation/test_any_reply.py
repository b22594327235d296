"""What holds for every program and every reply: random edits, written as a model would, and replies mutilated at random."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evolve.edits import check_edit, mutable_regions
from evolve.notation import EditRefused, apply_diff, apply_full
from evolve.rendering import render_files

#: Few words, so that lines repeat; blanks, letters of other scripts, separators that are no line ends, quotes of fences.
LINE = st.one_of(
    st.sampled_from(
        ["", "x = 1", "    x = 1", "\tx = 1", "return x", "x = 1  ", "é = '日本'", "a\x0bb", "\u2028", "``", "1| x", "# a.py"]
    ),
    st.text(alphabet="ab =()\té😀", max_size=8),
)
END = st.sampled_from(["\n", "\r\n"])


@st.composite
def files(draw, marked=None):
    """A file's pieces, fixed and free by turns; one free piece where nothing is marked. Every piece is a list of lines."""
    if not (draw(st.booleans()) if marked is None else marked):
        return [draw(st.lists(LINE, min_size=1, max_size=12))]
    pieces = draw(st.integers(1, 3))
    return [draw(st.lists(LINE, max_size=5 if number % 2 == 0 else 9)) for number in range(2 * pieces + 1)]


def text_of(pieces, end, terminated=True):
    """Joins a file's pieces, with markers around every second one."""
    if len(pieces) == 1:
        text = "".join(line + end for line in pieces[0])
        return text if terminated or not pieces[0] or not pieces[0][-1] else text.removesuffix(end)
    lines = []
    for number, piece in enumerate(pieces):
        lines += piece if number % 2 == 0 else ["# EVOLVE-BLOCK-START", *piece, "# EVOLVE-BLOCK-END"]
    return "".join(line + end for line in lines)


def free_of(pieces):
    return [0] if len(pieces) == 1 else list(range(1, len(pieces), 2))


def stand(lines, search):
    """At how many places of lines others stand, as they are but for what trails."""
    lines, search = ([line.rstrip(" \t") for line in part] for part in (lines, search))
    return sum(lines[at : at + len(search)] == search for at in range(len(lines) - len(search) + 1))


@st.composite
def edits(draw):
    """A program, a diff of it that fits one place per block, and what it makes."""
    end, terminated = draw(END), draw(st.booleans())
    several = draw(st.booleans())
    marked = draw(st.booleans())
    names = ["main.py", "lib/b.py"] if several else ["main.py"]
    parent = {name: draw(files(marked)) for name in names}
    child = {name: [list(piece) for piece in pieces] for name, pieces in parent.items()}
    blocks = []
    ended = {name: terminated or len(pieces) > 1 or not pieces[0][-1] for name, pieces in parent.items()}
    for name in names:
        for number in free_of(parent[name]):
            piece = parent[name][number]
            if not piece:
                continue
            first = draw(st.integers(0, len(piece) - 1))
            last = draw(st.integers(first + 1, len(piece)))
            search = piece[first:last]
            whole = [line for index in free_of(parent[name]) for line in [*parent[name][index], "\0"]]
            if not any(line.strip() for line in search) or stand(whole, search) != 1:
                continue
            new = draw(st.lists(LINE, max_size=5))
            child[name][number][first:last] = new
            half = [f"{'=' * 7}", *new, f"{'>' * 7} REPLACE"]
            blocks.append("\n".join([f"### {name}", f"{'<' * 7} SEARCH", *search, *half, ""]))
    before = {name: text_of(pieces, end, ended[name]) for name, pieces in parent.items()}
    # A file of one line without an end does not tell which end new lines should have.
    assume(blocks and (end == "\n" or all(end in text for text in before.values())))
    return (
        before,
        draw(st.permutations(blocks)),
        {name: text_of(pieces, end, ended[name]) for name, pieces in child.items()},
    )


@given(edits(), st.sampled_from(["\n", "\r\n"]))
def test_a_described_edit_is_exactly_what_comes_of_it_in_any_order(edit, end):
    parent, blocks, child = edit
    if child == parent:
        with pytest.raises(EditRefused, match="changes nothing"):
            apply_diff("".join(blocks), parent)
        return
    assert apply_diff("".join(blocks).replace("\n", end), parent) == child
    assert apply_diff("Now:\n".join(reversed(blocks)), parent) == child


@given(edits())
def test_whole_files_give_what_was_written(edit):
    parent, _, child = edit
    assume(any(text.strip() for text in child.values()))
    if child == parent:
        with pytest.raises(EditRefused, match="changes nothing"):
            apply_full(render_files(child), parent)
    else:
        assert apply_full(f"Sure:\n\n{render_files(child)}\nDone.", parent) == child


@given(files(), files(), END)
def test_any_file_written_whole_is_read_back(old, new, end):
    assume(len(old) == len(new))
    if len(old) > 1:
        new = [piece if number % 2 else old[number] for number, piece in enumerate(new)]
    parent, child = ({"a.md": text_of(pieces, end)} for pieces in (old, new))
    if parent != child and child["a.md"].strip():
        assert apply_full(render_files(child), parent) == child


#: What replies are made of, and cut from.
PIECES = st.one_of(
    st.sampled_from(
        [
            *(
                "<<<<<<< SEARCH\n",
                "=======\n",
                ">>>>>>> REPLACE\n",
                "```python\n",
                "```\n",
                "````\n",
                "~~~\n",
                "<think>\n",
                "</think>\n",
            ),
            *(
                "# EVOLVE-BLOCK-START\n",
                "# EVOLVE-BLOCK-END\n",
                "### main.py\n",
                "lib/b.py\n",
                "other.py\n",
                "x = 1\n",
                "    x = 1\n",
            ),
            *(
                "1| x = 1\n",
                "# ... rest of code unchanged\n",
                "@@ -1 +1 @@\n",
                "\n",
                "\r\n",
                "\r",
                "import os\n",
                "def f():\n    return 1\n",
            ),
        ]
    ),
    st.text(alphabet="`~<>=#x \t\n\r\0\x0b\u2028é日😀", max_size=6),
)


@st.composite
def mutilated(draw):
    """A program and a good reply to it, with pieces cut out, doubled and put in."""
    parent, blocks, child = draw(edits())
    reply = draw(st.sampled_from(["".join(blocks), render_files(child)]))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(reply)))
        stop = draw(st.integers(start, len(reply)))
        middle = draw(st.one_of(st.just(""), PIECES, st.just(reply[start:stop] * 2)))
        reply = reply[:start] + middle + reply[stop:]
    return parent, reply


def assert_child_or_refused(apply, reply, parent):
    before = dict(parent)
    try:
        child = apply(reply, parent)
    except EditRefused:
        child = None
    assert parent == before
    if child is not None:
        check_edit(parent, child)
        assert child != parent


@pytest.mark.parametrize("apply", [apply_diff, apply_full])
@given(case=mutilated())
def test_a_mutilated_reply_makes_a_child_or_is_refused(apply, case):
    parent, reply = case
    assert_child_or_refused(apply, reply, parent)


@pytest.mark.parametrize("apply", [apply_diff, apply_full])
@given(reply=st.lists(PIECES, max_size=25).map("".join), pieces=files(), end=END)
def test_any_text_makes_a_child_or_is_refused(apply, reply, pieces, end):
    assert_child_or_refused(apply, reply, {"main.py": text_of(pieces, end)})
    assert_child_or_refused(apply, reply, {"main.py": text_of(pieces, end), "lib/b.py": text_of(pieces, end)})


def test_regions_of_these_programs_are_their_free_pieces():
    text = text_of([["a"], ["b"], ["c"]], "\n")
    assert [text[region.start : region.end] for region in mutable_regions({"a": text})["a"]] == ["b\n"]
