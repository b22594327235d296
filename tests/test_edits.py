"""Regions, the check of edits, and splicing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.edits import Region, Span, check_edit, mutable_regions, splice

MARKED = "import math\n# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\nprint(x)\n"
#: Text that is no marker by itself and cannot be made one by what stands around it.
PLAIN = st.text(alphabet="abc =+1()é\n", max_size=30)


def inside(text: str) -> list[str]:
    return [text[region.start : region.end] for region in mutable_regions({"a": text})["a"]]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# ", ""),
        ("// ", ""),
        ("/* ", " */"),
        ("-- ", ""),
        ("% ", ""),
        (";; ", ""),
        ("<!-- ", " -->"),
        ("<!--", "-->"),
        ("(* ", " *)"),
        ("{- ", " -}"),
        ("--[[ ", " ]]"),
        ("{/* ", " */}"),
        (" * ", ""),
        ("//---- ", ""),
        ("#| ", " |#"),
        ("%% ", " %%"),
        ("! ", ""),
        ("\t#", ""),
        ("# ===== ", " ====="),
        ("# ", ": the layout"),
    ],
)
def test_markers_stand_in_comments_of_any_language(before, after):
    text = f"fixed\n{before}EVOLVE-BLOCK-START{after}\nfree\n{before}EVOLVE-BLOCK-END{after}\n"
    assert inside(text) == ["free\n"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_regions_end_where_the_marker_lines_begin_for_every_line_ending(end):
    text = MARKED.replace("\n", end)
    assert inside(text) == [f"x = 1{end}"]


def test_a_file_may_have_several_regions_and_empty_ones():
    text = "# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\nfixed\n  # EVOLVE-BLOCK-START\n  b\n  # EVOLVE-BLOCK-END"
    assert inside(text) == ["", "  b\n"]


@pytest.mark.parametrize(
    "text", ['x = "EVOLVE-BLOCK-START"\n', "'# EVOLVE-BLOCK-START'\n", "# EVOLVE-BLOCK-START/END delimit it\n"]
)
def test_a_mention_is_no_marker(text):
    assert inside(text) == [text]


def test_without_markers_every_file_may_change_whole():
    assert mutable_regions({"a.py": "x = 1", "b.c": ""}) == {"a.py": (Region(0, 5),), "b.c": (Region(0, 0),)}


def test_a_file_without_markers_is_fixed_when_another_has_some():
    assert mutable_regions({"a.py": MARKED, "b.py": "y = 2\n"})["b.py"] == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-START\n", "p.py line 2: .* inside the block that starts at line 1"),
        ("x\n# EVOLVE-BLOCK-END\n", "p.py line 2: EVOLVE-BLOCK-END without"),
        ("x\n\n# EVOLVE-BLOCK-START\n", "p.py line 3: EVOLVE-BLOCK-START has no EVOLVE-BLOCK-END"),
        ("def f():  # EVOLVE-BLOCK-START\n", "p.py line 1: .* a line of its own"),
    ],
)
def test_unbalanced_markers_are_refused_with_file_and_line(text, message):
    with pytest.raises(ValueError, match=message):
        mutable_regions({"p.py": text})


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (
            {"a.py": MARKED.replace("math", "os")},
            r"a\.py, before the first block: a line reads 'import os\\n' where the parent reads",
        ),
        ({"a.py": MARKED.replace("print(x)\n", "")}, "after block 1: a line is missing"),
        ({"a.py": MARKED + "more\n"}, r"reads 'more\\n' where the parent has nothing"),
        ({"a.py": MARKED.replace("# EVOLVE-BLOCK-END\n", "")}, "breaks the EVOLVE-BLOCK markers: a.py line 2"),
        ({"a.py": "x = 1\n"}, "the parent marks 1 blocks that may change, the edit leaves 0"),
        ({"a.py": MARKED, "b.py": ""}, "adds the file 'b.py'"),
        ({}, "removes the file 'a.py'"),
    ],
)
def test_an_edit_outside_is_refused_with_what_to_do(child, message):
    with pytest.raises(ValueError, match=message):
        check_edit({"a.py": MARKED}, child)


def test_adding_markers_to_a_program_without_any_is_refused():
    with pytest.raises(ValueError, match="EVOLVE-BLOCK"):
        check_edit({"a.py": "x = 1\n"}, {"a.py": MARKED})


@st.composite
def marked_texts(draw):
    """Fixed and free pieces by turns, each ending its line."""
    fixed = [piece + "\n" for piece in draw(st.lists(PLAIN, min_size=2, max_size=4))]
    free = [piece + "\n" for piece in draw(st.lists(PLAIN, min_size=len(fixed) - 1, max_size=len(fixed) - 1))]
    return fixed, free


def join(fixed, free):
    blocks = [f"# EVOLVE-BLOCK-START\n{piece}# EVOLVE-BLOCK-END\n" for piece in free]
    return {"a.py": "".join(a + b for a, b in zip(fixed, [*blocks, ""], strict=True))}


@given(marked_texts(), st.data())
def test_any_edit_inside_passes_and_regions_are_what_is_free(pieces, data):
    fixed, free = pieces
    parent = join(fixed, free)
    assert [parent["a.py"][r.start : r.end] for r in mutable_regions(parent)["a.py"]] == free
    fresh = [data.draw(PLAIN) + "\n" for _ in free]
    check_edit(parent, join(fixed, fresh))


@given(marked_texts(), st.data())
def test_any_edit_outside_fails(pieces, data):
    fixed, free = pieces
    index = data.draw(st.integers(0, len(fixed) - 1))
    changed = [data.draw(PLAIN) + "\n" if i == index else piece for i, piece in enumerate(fixed)]
    parent, child = join(fixed, free), join(changed, free)
    if changed == fixed:
        check_edit(parent, child)
    else:
        with pytest.raises(ValueError, match=r"a\.py"):
            check_edit(parent, child)


@given(marked_texts(), st.data())
def test_deleting_any_character_of_fixed_text_fails(pieces, data):
    parent = join(*pieces)
    text = parent["a.py"]
    outside = sorted(set(range(len(text))) - {i for r in mutable_regions(parent)["a.py"] for i in range(r.start, r.end)})
    at = data.draw(st.sampled_from(outside))
    child = {"a.py": text[:at] + text[at + 1 :]}
    # A character that its neighbour inside a block equals can be taken from either side of the border.
    if any(child["a.py"] == text[:i] + text[i + 1 :] for i in range(len(text)) if i not in outside):
        return
    with pytest.raises(ValueError, match=r"a\.py"):
        check_edit(parent, child)


def test_splice_replaces_from_left_to_right_whatever_the_order_given():
    assert splice("abcdef", [Span(4, 5, "E"), Span(0, 2, ""), Span(3, 3, "1"), Span(3, 3, "2")]) == "c12dEf"


@pytest.mark.parametrize("spans", [[Span(0, 3, ""), Span(2, 4, "")], [Span(5, 7, "")], [Span(3, 2, "")], [Span(-1, 0, "")]])
def test_splice_refuses_overlaps_and_what_lies_outside(spans):
    with pytest.raises(ValueError, match="overlaps another one or lies outside"):
        splice("abcdef", spans)
