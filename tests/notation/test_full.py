"""Whole files from a reply: which block, what is repaired, what is refused and how."""

from __future__ import annotations

import pytest

from evolve.notation import EditRefused, apply_full, read_files
from evolve.rendering import render_files

MARKED = """\
import math
import random

# EVOLVE-BLOCK-START
def area(radius):
    return radius
# EVOLVE-BLOCK-END


def main():
    print(area(1), math.pi, random.random())
"""
BETTER = MARKED.replace("return radius", "return radius * 2")
PARENT = {"main.py": MARKED}
TWO = {"main.py": "import lib\nx = 1\n", "lib/tools.py": "x = 1\nz = 3\n"}
FIVE = "```python\nx = 5\n```\n"


def fenced(text, info="python"):
    return f"```{info}\n{text}```\n"


@pytest.mark.parametrize(
    "wrap",
    [
        "```python\n{}```",
        "```\n{}```\n",
        "````python\n{}````\n",
        "~~~python\n{}~~~\n",
        "``` py\n{}```   \n",
        "Here is the improved code:\n\n```python\n{}```\nIt doubles the radius. Run it with `python main.py`.\n",
        "<think>\n```python\nx = 1\n```\n</think>\n```python\n{}```",
        "<NAME>double</NAME>\n<CODE>\n```python\n{}```\n</CODE>\n",
        "main.py:\n```python\n{}```\n",
        "```python main.py\n{}```\n",
        '```python title="main.py"\n{}```\n',
        "{}",
        "\n{}",
    ],
)
def test_what_stands_around_the_file_does_not_matter(wrap):
    assert apply_full(wrap.format(BETTER), PARENT) == {"main.py": BETTER}


def test_a_fence_may_be_indented_with_its_text():
    text = "".join(f"  {line}\n" for line in ["```", "x = 1", "if x:", "    y = 2", "```"])
    assert apply_full(f"1. Do this:\n{text}", {"a.py": "x = 0\n"}) == {"a.py": "x = 1\nif x:\n    y = 2\n"}


@pytest.mark.parametrize(
    "text",
    [
        'def f():\n    """Shows:\n\n    ```\n    f()\n    ```\n    """\n',
        '"""Shows:\n\n```python\nf()\n```\n"""\n',
        "x = '```'\n",
    ],
)
def test_fences_within_the_file_do_not_end_it(text):
    assert apply_full(fenced(text), {"a.py": "x = 0\n"}) == {"a.py": text}


# Which block.


def test_a_named_block_comes_before_longer_ones():
    reply = f"Try it:\n{fenced('import main; print(main.area(1), main.area(2))' + chr(10))}\n### a.py\n{FIVE}"
    assert apply_full(reply, {"a.py": "x = 0\n"}) == {"a.py": "x = 5\n"}


def test_a_block_with_markers_comes_before_longer_ones():
    assert apply_full(fenced("y = 1\n" * 100) + fenced(BETTER) + fenced("y = 1\n" * 100), PARENT) == {"main.py": BETTER}


def test_the_longest_block_is_taken_and_of_two_alternatives_alike_the_last():
    assert apply_full(fenced("pip install numpy\n", "bash") + fenced("x = 5\ny = 6\nz = 7\n"), {"a.py": "x = 0\n"})[
        "a.py"
    ].startswith("x = 5\ny")
    assert apply_full(f"Either\n{fenced('x = 1' + chr(10))}or\n{fenced('x = 2' + chr(10))}", {"a.py": "x = 0\n"}) == {
        "a.py": "x = 2\n"
    }


def test_files_that_are_not_given_stay():
    assert apply_full(f"### lib/tools.py\n\n{FIVE}", TWO) == {**TWO, "lib/tools.py": "x = 5\n"}


def test_several_files_each_below_its_path():
    reply = f"Two changes.\n\n**main.py**\n{FIVE}\n`tools.py`:\n\n{fenced('x = 6' + chr(10))}"
    assert apply_full(reply, TWO) == {"main.py": "x = 5\n", "lib/tools.py": "x = 6\n"}


def test_a_program_as_prompts_show_it_can_be_answered():
    child = {"main.py": "import lib\nx = 2\n", "lib/tools.py": "x = 1\n"}
    assert apply_full(render_files(child), TWO) == child


# What may not change.


@pytest.mark.parametrize(
    "repaired",
    [
        BETTER.replace("import math\nimport random\n", "import math\n"),
        BETTER.replace("\n\n\ndef main", "\ndef main"),
        BETTER.replace("print(area(1), math.pi, random.random())", "..."),
        BETTER.replace("import math\nimport random\n", "# ... imports unchanged ...\n"),
        BETTER.replace("# EVOLVE-BLOCK-START", "    # EVOLVE-BLOCK-START (changed)"),
        "# EVOLVE-BLOCK-START\ndef area(radius):\n    return radius * 2\n# EVOLVE-BLOCK-END\n",
        "# EVOLVE-BLOCK-START\ndef area(radius):\n    return radius * 2\n# EVOLVE-BLOCK-END",
    ],
)
def test_text_outside_the_markers_is_the_parents_whatever_the_reply_makes_of_it(repaired):
    assert apply_full(fenced(repaired + "\n"), PARENT) == {"main.py": BETTER}


@pytest.mark.parametrize(
    "unmarked",
    [
        "def area(radius):\n    return radius * 2\n",
        "import math\nimport random\n\ndef area(radius):\n    return radius * 2\n",
        "import math\n\nimport random\n\n\ndef area(radius):\n    return radius * 2\n\n\n"
        "def main():\n    print(area(1), math.pi, random.random())\n",
        "def area(radius):\n    return radius * 2\n\n\ndef main():\n    print(area(1), math.pi, random.random())\n",
    ],
)
def test_a_reply_without_markers_is_the_block_without_the_text_around_it(unmarked):
    child = apply_full(fenced(unmarked), PARENT)["main.py"]
    assert child.replace("\n\n\n# EVOLVE-BLOCK-END", "\n# EVOLVE-BLOCK-END") == BETTER


@pytest.mark.parametrize(
    "unmarked",
    [
        "import math\n\n\ndef area(radius):\n    return radius * 2\n",
        "def area(radius):\n    return radius * 2\n\n\ndef main():\n    print(area(1))\n",
    ],
)
def test_a_reply_without_markers_that_repeats_some_of_the_fixed_text_is_refused(unmarked):
    with pytest.raises(EditRefused, match=r"no EVOLVE-BLOCK markers and repeats .*(import math|def main).* Write the whole file"):
        apply_full(fenced(unmarked), PARENT)


def test_every_block_of_several_is_put_in_its_place():
    text = "a\n# EVOLVE-BLOCK-START\nb\n# EVOLVE-BLOCK-END\nc\n# EVOLVE-BLOCK-START\nd\n# EVOLVE-BLOCK-END\n"
    reply = fenced(text.replace("b\n", "b\nbb\n").replace("d\n", "").replace("a\n", "A\n"))
    assert apply_full(reply, {"t": text}) == {"t": text.replace("b\n", "b\nbb\n").replace("d\n", "")}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_are_the_parents(end):
    parent = {"a.py": "x = 1\ny = 2".replace("\n", end)}
    assert apply_full("```\nx = 1\ny = 3\nz = 4\n```", parent) == {"a.py": "x = 1\ny = 3\nz = 4".replace("\n", end)}


def test_a_fixed_file_may_be_repeated_but_not_changed():
    parent = {**PARENT, "b.py": "q = 1"}
    child = {"main.py": BETTER, "b.py": "q = 1"}
    assert apply_full(render_files(child), parent) == child
    with pytest.raises(EditRefused, match=r"b\.py is fixed and may not change; leave it out"):
        apply_full(render_files({**child, "b.py": "q = 2"}), parent)


# What is refused.


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("", "no fenced block with text in it. Answer with the whole file in one fenced block"),
        ("I would use simulated annealing.", "no fenced block"),
        ("annealing", "no fenced block"),
        ("```python\n\n```\n```\n```", "no fenced block with text in it"),
        ('{"code": "import math"}', "no fenced block"),
        ("def area(radius:\n    return 2", "no fenced block"),
        ("x = " + "(" * 5000, "no fenced block"),
        ("import os\0", "no fenced block"),
        ("```python\nimport math\n", "cut off: the fence that opens at its line 1 is never closed"),
        ("Sure:\n\n````\nimport math\n```\n", "cut off: the fence that opens at its line 3"),
        ("<think>\nimport math", "cut off within its reasoning"),
        ("```\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n```", "SEARCH/REPLACE blocks where whole files are asked for"),
        (fenced(MARKED), "changes nothing"),
        (fenced(BETTER.replace("# EVOLVE-BLOCK-END\n", "")), "breaks the EVOLVE-BLOCK markers: main.py line 4"),
        (fenced(BETTER + "# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\n"), "the reply marks 2 blocks, the program has 1"),
        (
            fenced(BETTER.replace("    return", "    # ... rest of the code\n    return")),
            r"leaves code out: .*# \.\.\. rest of the code",
        ),
        (f"### helper.py\n{FIVE}", r"names the file 'helper\.py', which is not in the program: its only file is main\.py"),
    ],
)
def test_a_reply_that_makes_no_program_is_refused_with_what_to_do(reply, message):
    with pytest.raises(EditRefused, match=message):
        apply_full(reply, PARENT)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (f"Done:\n{FIVE}", "block at line 2 of the reply names no file. Answer with every file that changes"),
        (f"main.py\n{FIVE}Then\n{fenced(BETTER)}", "block at line 6 of the reply names no file"),
        ("import lib\nx = 2\n", "no fenced block with text in it. Answer with every file that changes"),
        (
            f"lib/new.py\n{FIVE}",
            r"names the file 'lib/new\.py', which is not in the program: its files are lib/tools\.py, main\.py",
        ),
    ],
)
def test_files_that_are_not_clear_are_refused(reply, message):
    with pytest.raises(EditRefused, match=message):
        apply_full(reply, TWO)


def test_adding_markers_to_a_program_without_any_is_refused():
    with pytest.raises(EditRefused, match="the parent marks 0 blocks"):
        apply_full(fenced(MARKED), {"a.py": "x = 1\n"})


def test_bare_code_in_another_language_is_refused():
    with pytest.raises(EditRefused, match="no fenced block"):
        apply_full("import math\n", {"a.jl": "x = 1\n"})


def test_bare_code_with_a_stray_backslash_warns_nobody():
    assert apply_full("import re\nx = '\\d'\n", {"a.py": "x = 1\n"}) == {"a.py": "import re\nx = '\\d'\n"}


def test_two_regions_need_their_markers():
    text = "# EVOLVE-BLOCK-START\nb\n# EVOLVE-BLOCK-END\nc\n# EVOLVE-BLOCK-START\nd\n# EVOLVE-BLOCK-END\n"
    with pytest.raises(EditRefused, match="marks 0 blocks, the program has 2"):
        apply_full(fenced("x\n"), {"t": text})


def test_a_program_about_such_blocks_may_hold_them():
    parent = {"a.py": "M = '''\n<<<<<<< SEARCH\n'''\n"}
    assert apply_full(fenced(parent["a.py"] + "x = 1\n"), parent) == {"a.py": parent["a.py"] + "x = 1\n"}


# Files that do not exist yet

THREE, REST = fenced("z = 3\n"), fenced("# ... rest of the code\n")


@pytest.mark.parametrize(
    "reply",
    [FIVE, f"### main.py\n\n{FIVE}", "```python main.py\n\nx = 5\n\n```", f"# words\n{FIVE}"],
)
def test_a_new_file_is_read_from_its_block(reply):
    assert read_files(reply, ["main.py"]) == {"main.py": "x = 5\n"}


def test_new_files_come_in_the_order_in_which_they_are_wanted():
    reply = f"### lib/tools.py\n{THREE}### main.py\n{FIVE}"
    assert list(read_files(reply, ["main.py", "lib/tools.py"]).items()) == [("main.py", "x = 5\n"), ("lib/tools.py", "z = 3\n")]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (f"### main.py\n{FIVE}", "does not give lib/tools.py"),
        (f"### main.py\n{FIVE}### lib/tools.py\n{fenced('')}", "does not give lib/tools.py"),
        (f"### main.py\n{FIVE}### other.py\n{FIVE}", "'other.py'"),
        (FIVE, "names no file"),
        ("I cannot.", "no fenced block"),
        (f"### main.py\n{FIVE}### lib/tools.py\n{REST}", "leaves code out"),
        (f"### main.py\n{FIVE}### lib/tools.py\n```python\nx =", "never closed"),
    ],
)
def test_a_reply_without_all_new_files_is_refused(reply, said):
    with pytest.raises(EditRefused, match=said):
        read_files(reply, ["main.py", "lib/tools.py"])


def test_a_file_that_is_there_may_be_repeated_and_not_changed():
    new = f"### lib/tools.py\n{THREE}"
    assert read_files(f"{new}### main.py\n{FIVE}", ["lib/tools.py"], {"main.py": "x = 5"}) == {"lib/tools.py": "z = 3\n"}
    with pytest.raises(EditRefused, match=r"changes main\.py, which is there already"):
        read_files(f"{new}### main.py\n{FIVE}", ["lib/tools.py"], {"main.py": "x = 6\n"})
