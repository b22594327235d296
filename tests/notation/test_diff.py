"""Search/replace blocks: what they do, what is forgiven, what is refused and how."""

from __future__ import annotations

import pytest
from notation_kit import block

from evolve.notation import EditRefused, apply_diff

MARKED = """\
import math

# EVOLVE-BLOCK-START
def area(radius):
    maxval = 100
    return radius


def twice(radius):
    return radius + radius
# EVOLVE-BLOCK-END
print(area(1))
"""
PARENT = {"main.py": MARKED}
TWO = {"main.py": "import lib\nx = 1\ny = 2\n", "lib/tools.py": "x = 1\nz = 3\n"}


def changed(reply, parent=PARENT):
    """What the only changed file becomes."""
    child = apply_diff(reply, parent)
    [path] = [path for path in parent if parent[path] != child[path]]
    return child[path]


def test_several_blocks_among_prose_apply_at_once():
    reply = (
        "I will widen the limit, then double the result.\n\n"
        f"{block('    maxval = 100', '    maxval = 200')}\nand\n\n{block('    return radius + radius', '    return 2 * radius')}"
        "\nThis should score better.\n"
    )
    assert changed(reply) == MARKED.replace("100", "200").replace("radius + radius", "2 * radius")


@pytest.mark.parametrize(
    "wrap",
    [
        "```python\n{}```\n",
        "```diff\n{}```",
        "````\n{}````\n",
        "~~~\n{}~~~\n",
        "<NAME>widen</NAME>\n<DIFF>\n{}</DIFF>\n",
        "<think>\nMaybe SEARCH for <<<<<<< SEARCH first?\n</think>\n\n{}",
        "I think so.\n</think>\n{}",
        "Here is the improved code:\n\n{}\nLet me know!",
        "### main.py\n\n```\n{}```\n",
        "**main.py**\n{}",
        "`main.py`:\n{}",
        "File: main.py\n```python\n{}```",
        "**File:** `main.py`\n{}",
        "1. ./main.py\n{}",
        "```python:main.py\n{}```",
        "```python\n# main.py\n{}```",
        "### solution.py\n{}",
    ],
)
def test_what_stands_around_a_block_does_not_matter(wrap):
    assert changed(wrap.format(block("    maxval = 100", "    maxval = 7"))) == MARKED.replace("100", "7")


def test_a_search_is_whole_lines_never_a_part_of_one():
    with pytest.raises(EditRefused, match=r"'val = 100', where line 5 is '    maxval = 100'"):
        apply_diff(block("val = 100", "val = 10"), PARENT)


def test_replacing_with_nothing_removes_the_lines_and_no_other():
    assert changed(f"<<<<<<< SEARCH\n{'    maxval = 100'}\n=======\n>>>>>>> REPLACE") == MARKED.replace("    maxval = 100\n", "")


def test_text_that_is_also_fixed_is_found_where_it_may_change():
    text = "x = 1\n# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\nx = 1\n"
    assert changed(block("x = 1", "x = 2"), {"a.py": text}) == text.replace("START\nx = 1", "START\nx = 2")


def test_fixed_lines_may_be_context_of_a_change_beside_them():
    reply = block("# EVOLVE-BLOCK-START\ndef area(radius):", "# EVOLVE-BLOCK-START\nK = 1\ndef area(radius):")
    assert changed(reply) == MARKED.replace("def area", "K = 1\ndef area")
    reply = block("    return radius + radius\n# EVOLVE-BLOCK-END", "    return 0\n# EVOLVE-BLOCK-END")
    assert changed(reply) == MARKED.replace("return radius + radius", "return 0")


def test_an_empty_block_is_filled_by_its_marker_lines():
    empty = "# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END"
    reply = block(empty, "# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END")
    assert changed(reply, {"a.py": f"a\n{empty}\nb\n"}) == "a\n# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\nb\n"


def test_every_search_is_found_in_the_parent_not_in_what_another_block_wrote():
    with pytest.raises(EditRefused, match=r"block 2 .* is not in main\.py"):
        apply_diff(block("    maxval = 100", "    maxval = 200") + block("    maxval = 200", "    maxval = 300"), PARENT)
    swapped = apply_diff(block("a", "b") + block("b", "a"), {"t": "a\nb\n"})
    assert swapped == {"t": "b\na\n"}


def test_as_many_identical_blocks_as_places_mean_all_of_them():
    assert apply_diff(block("a", "b") * 3, {"t": "a\nx\na\ny\na\n"}) == {"t": "b\nx\nb\ny\nb\n"}


def test_a_block_may_be_repeated_where_there_is_one_place():
    assert apply_diff(block("a", "b") * 2, {"t": "a\nx\n"}) == {"t": "b\nx\n"}


@pytest.mark.parametrize("times", [1, 2, 4])
def test_any_other_number_of_blocks_is_ambiguous(times):
    with pytest.raises(EditRefused, match=r"stands 3 times in t, at lines 1, 3, 5\. Add lines around it"):
        apply_diff(block("a", "b") * times, {"t": "a\nx\na\ny\na\n"})


def test_contexts_may_overlap_where_no_block_changes_what_the_other_holds():
    text = "a\nb\nc\nd\ne\n"
    assert apply_diff(block("a\nb\nc", "A\nb\nc") + block("c\nd\ne", "c\nd\nE"), {"t": text}) == {"t": "A\nb\nc\nd\nE\n"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (block("a\nb", "a\nB"), block("b\nc", "b\nC")),
        (block("b", "B"), block("b", "BB")),
        (block("b", "x\nb"), block("a", "a\ny")),
        (block("a\nb\nc", "A\nb\nc"), block("b", "b\nx")),
    ],
)
def test_blocks_that_contradict_each_other_are_refused_in_either_order(first, second):
    for reply in (first + second, second + first):
        with pytest.raises(EditRefused, match=r"blocks 1 and 2 overlap in t: .*join them, or keep one"):
            apply_diff(reply, {"t": "a\nb\nc\n"})


# What is forgiven.


def test_blanks_at_line_ends_do_not_count_and_stay_where_nothing_changes():
    text = "a  \nb\t\nc\n"
    assert apply_diff(block("a\nb \nc ", "a\nB\nc "), {"t": text}) == {"t": "a  \nB\nc\n"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("reply_end", ["\n", "\r\n"])
def test_line_ends_are_the_parents(end, reply_end):
    parent = {"t": "a\nb\nc".replace("\n", end)}
    reply = block("b\nc", "x\ny\nc\nz").replace("\n", reply_end)
    assert apply_diff(reply, parent) == {"t": "a\nx\ny\nc\nz".replace("\n", end)}


def test_a_missing_last_newline_stays_missing():
    assert apply_diff(block("b", "c\nd"), {"t": "a\nb"}) == {"t": "a\nc\nd"}
    assert apply_diff(block("b", "b\nc"), {"t": "a\nb"}) == {"t": "a\nb\nc"}


@pytest.mark.parametrize(
    ("search", "replace", "wanted"),
    [
        (
            "maxval = 100\nreturn radius",
            "if radius:\n    maxval = 1\nreturn radius",
            "    if radius:\n        maxval = 1\n    return radius",
        ),
        (
            "      maxval = 100\n      return radius",
            "      maxval = 1\n\n      return radius",
            "    maxval = 1\n\n    return radius",
        ),
    ],
)
def test_a_block_that_is_indented_wrongly_as_a_whole_is_shifted(search, replace, wanted):
    assert changed(block(search, replace)) == MARKED.replace("    maxval = 100\n    return radius", wanted, 1)


def test_lines_as_they_stand_come_before_shifted_ones():
    assert apply_diff(block("x = 1", "x = 2"), {"t": "if y:\n    x = 1\nx = 1\n"}) == {"t": "if y:\n    x = 1\nx = 2\n"}


@pytest.mark.parametrize("search", ["maxval = 100\n    return radius", "\tmaxval = 100\n\treturn radius"])
def test_other_indentation_is_refused(search):
    with pytest.raises(EditRefused, match="differs first in SEARCH line 1"):
        apply_diff(block(search, "pass"), PARENT)


def test_a_replacement_that_cannot_be_shifted_is_refused():
    with pytest.raises(EditRefused, match="indented by 2 columns less"):
        apply_diff(block("      maxval = 100", "  maxval = 1\n x = 1"), {"t": "    maxval = 100\n"})


@pytest.mark.parametrize("replace", ["5|     maxval = 1\n6|     return radius", "    maxval = 1\n    return radius"])
def test_line_numbers_copied_with_every_line_are_cut_off(replace):
    reply = block("5|     maxval = 100\n 6 |     return radius", replace)
    assert changed(reply) == MARKED.replace("maxval = 100", "maxval = 1")


@pytest.mark.parametrize(
    ("search", "replace"),
    [("5|     maxval = 100\n    return radius", "x"), ("5|     maxval = 100\n6|     return radius", "5|     x = 1\n    y = 2")],
)
def test_line_numbers_before_some_lines_are_refused(search, replace):
    with pytest.raises(EditRefused, match=r"is not in main\.py"):
        apply_diff(block(search, replace), PARENT)


def test_lines_that_really_begin_with_numbers_are_what_they_are():
    assert apply_diff(block("1| a", "1| b"), {"t": "1| a\na\n"}) == {"t": "1| b\na\n"}


def test_fences_around_both_halves_are_cut_off():
    reply = block("```python\n    maxval = 100\n```", "```python\n    maxval = 9\n```")
    assert changed(reply) == MARKED.replace("100", "9")


@pytest.mark.parametrize(
    "reply",
    [
        "<<<<< SEARCH\na\n=====\nb\n>>>>> REPLACE",
        "<<<<<<<<< SEARCH (main loop)\na\n=========\nb\n>>>>>>>>> REPLACE done",
        "<<<<<<<SEARCH\na\n=======   \nb\n>>>>>>>REPLACE\n",
        "  <<<<<<< SEARCH\n  a\n  =======\n  b\n  >>>>>>> REPLACE\n",
    ],
)
def test_markers_may_vary(reply):
    assert apply_diff(reply, {"t": "a\n"}) == {"t": "b\n"}


def test_a_line_of_equals_signs_in_the_file_is_no_divider():
    parent = {"t": "Title\n=======\ntext\n"}
    assert apply_diff(block("Title\n=======\ntext", "Other\n=======\ntext"), parent) == {"t": "Other\n=======\ntext\n"}


def test_more_lines_of_equals_signs_than_any_text_has_are_refused():
    with pytest.raises(EditRefused, match="holds 30 lines of equals signs; only one divides it"):
        apply_diff("<<<<<<< SEARCH\na\n" + "=======\n" * 30 + ">>>>>>> REPLACE", {"t": "a\n"})


# Several files.


@pytest.mark.parametrize("name", ["lib/tools.py", "tools.py", "./lib/tools.py"])
def test_a_file_is_named_on_the_line_before_a_block(name):
    assert changed(f"### {name}\n{block('x = 1', 'x = 5')}", TWO) == "x = 5\nz = 3\n"


def test_a_file_needs_no_name_where_only_one_has_the_lines():
    assert changed(block("z = 3", "z = 4"), TWO) == "x = 1\nz = 4\n"


def test_a_file_that_has_the_lines_as_they_are_comes_before_one_that_has_them_shifted():
    parent = {"a.py": "if y:\n    x = 1\n", "b.py": "x = 1\n"}
    assert apply_diff(block("x = 1", "x = 2"), parent) == {**parent, "b.py": "x = 2\n"}


def test_a_name_holds_for_the_blocks_below_it():
    reply = f"### lib/tools.py\n```\n{block('z = 3', 'z = 4')}\n{block('x = 1', 'x = 5')}```\n"
    assert changed(reply, TWO) == "x = 5\nz = 4\n"


def test_blocks_for_several_files():
    reply = f"main.py\n{block('x = 1', 'x = 5')}\nlib/tools.py\n{block('x = 1', 'x = 6')}"
    assert apply_diff(reply, TWO) == {"main.py": "import lib\nx = 5\ny = 2\n", "lib/tools.py": "x = 6\nz = 3\n"}


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (block("x = 1", "x = 5"), r"in several files: main\.py line 2 and lib/tools\.py line 1\. Write the file's path"),
        (f"main.py\n{block('z = 3', 'z = 4')}", r"not in main\.py but in lib/tools\.py line 2"),
        (
            f"### other.py\n{block('z = 3', 'z = 4')}",
            r"names the file 'other\.py', which is not .*: its files are lib/tools\.py, main\.py",
        ),
    ],
)
def test_a_file_that_is_not_clear_is_refused(reply, message):
    with pytest.raises(EditRefused, match=message):
        apply_diff(reply, TWO)


def test_a_file_without_markers_beside_one_with_some_is_fixed():
    with pytest.raises(EditRefused, match=r"changes b\.py at line 1, which is fixed.*main\.py lines 4-10"):
        apply_diff(block("q = 1", "q = 2"), {**PARENT, "b.py": "q = 1\n"})


# Empty SEARCH.


@pytest.mark.parametrize(
    "text", ["", "\n", "# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\n", "# EVOLVE-BLOCK-START\n\n  \n# EVOLVE-BLOCK-END\n"]
)
@pytest.mark.parametrize("search", ["<<<<<<< SEARCH\n=======", "<<<<<<< SEARCH\n\n======="])
def test_an_empty_search_fills_what_is_empty(text, search):
    child = apply_diff(f"{search}\nx = 1\n>>>>>>> REPLACE", {"t": text})["t"]
    assert [line for line in child.splitlines() if not line.startswith("#")] == ["x = 1"]
    assert child.endswith("\n")


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        (PARENT, "SEARCH is empty, and no place is empty. To add lines, copy the line before or after"),
        ({"a": "", "b": ""}, "SEARCH is empty, and 2 places are empty"),
    ],
)
def test_an_empty_search_elsewhere_is_refused_with_advice(parent, message):
    with pytest.raises(EditRefused, match=message):
        apply_diff("<<<<<<< SEARCH\n=======\nx = 1\n>>>>>>> REPLACE", parent)


# What is refused.


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("", "no SEARCH/REPLACE block"),
        ("The code is already optimal.", "no SEARCH/REPLACE block. Answer with blocks of this form"),
        ('{"diff": "<<<<<<< SEARCH\\\\na"}', "no SEARCH/REPLACE block"),
        ("```python\nx = 2\n```", "fenced text but no SEARCH/REPLACE block"),
        ("```diff\n--- a/main.py\n+++ b/main.py\n@@ -4,1 +4,1 @@\n-    maxval = 100\n+    maxval = 1\n```", "unified diff"),
        ("@@ -4,1 +4,1 @@\n-    maxval = 100\n+    maxval = 1\n", "unified diff"),
        ("<<<<<<< SEARCH\n    maxval = 100\n=======\n    maxval =", r"cut off: block 1 \(line 1 of the reply\)"),
        ("<<<<<<< SEARCH\n    maxval = 1", "cut off"),
        (block("    maxval = 100", "    maxval = 1") + "<<<<<<< SEARCH\n    return", r"cut off: block 2 \(line 6"),
        ("<think>\nhm, let me see", "cut off within its reasoning"),
        ("<<<<<<< SEARCH\na\n<<<<<<< SEARCH\n    maxval = 100\n=======\nb\n>>>>>>> REPLACE", "no >>>>>>> REPLACE before the next"),
        ("x\n>>>>>>> REPLACE", "line 2 of the reply ends a block that never began"),
        ("<<<<<<< SEARCH\n    maxval = 100\n>>>>>>> REPLACE", "no line ======="),
        (block("    maxval = 100", "    maxval = 100"), "changes nothing"),
        (block("    maxval = 100", "    # ... existing code ..."), "REPLACE leaves code out: the line '# ... existing code ...'"),
        (block("import math", "import cmath"), r"changes main\.py at line 1, which is fixed.*main\.py lines 4-10"),
        (block("    maxval = 100", "# EVOLVE-BLOCK-END"), "EVOLVE-BLOCK"),
        (block("def nothing_like_it():", "pass"), "is not in main.py"),
        (block("%%% ???", "pass"), "Nothing in the program resembles it"),
    ],
)
def test_a_reply_that_cannot_be_applied_is_refused_with_what_to_do(reply, message):
    with pytest.raises(EditRefused, match=message):
        apply_diff(reply, PARENT)


def test_the_closest_lines_are_quoted_with_their_numbers_and_the_first_difference():
    with pytest.raises(EditRefused) as refused:
        apply_diff(block("def twice(radius):\n    return radius+radius", "pass"), PARENT)
    assert str(refused.value) == (
        "block 1 (line 1 of the reply): the SEARCH text is not in main.py. Closest is main.py lines 9-10:\n"
        "9| def twice(radius):\n"
        "10|     return radius + radius\n"
        "It differs first in SEARCH line 2, '    return radius+radius', where line 10 is '    return radius + radius'. "
        "Copy whole lines exactly as they stand in the program, without leaving any out, and write the whole answer again"
    )


def test_rare_words_decide_what_is_closest():
    text = "    return value + 1\n" * 5 + "    return special - 1\n"
    with pytest.raises(EditRefused, match=r"Closest is t\.py line 6:"):
        apply_diff(block("    return (special + value + 1)", "pass"), {"t.py": text})


def test_a_long_search_is_quoted_in_part():
    text = "".join(f"value_{number} = {number}\n" for number in range(100))
    with pytest.raises(EditRefused) as refused:
        apply_diff(block(text.replace("value_99 = 99", "value_99 = 0").strip(), "pass"), {"t.py": text})
    assert "(76 more lines)" in str(refused.value)
    assert "SEARCH line 100, 'value_99 = 0', where line 100 is 'value_99 = 99'" in str(refused.value)


def test_lines_of_a_reply_are_counted_with_its_reasoning():
    with pytest.raises(EditRefused, match=r"block 1 \(line 4 of the reply\)"):
        apply_diff("<think>\nwell\n</think>\n" + block("nowhere", "x"), PARENT)
