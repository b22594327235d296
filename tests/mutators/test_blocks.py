"""Changes to whole statements."""

from __future__ import annotations

import numpy as np
import pytest
from mutation_kit import source_of

from evolve.edits import splice
from evolve.mutators import blocks


def children(operator, text: str, draws: int = 80) -> set[str]:
    source, made = source_of(text), set()
    for seed in range(draws):
        tweak = operator(source, np.random.default_rng(seed))
        if tweak is not None:
            made.add(splice(text, tweak.spans))
    return made


def test_a_statement_is_deleted_with_its_comment_when_its_name_is_bound_before():
    text = "def f(x):\n    x += 1  # gone\n    y = 2\n    return x * y\n"
    assert children(blocks.delete, text) == {"def f(x):\n    y = 2\n    return x * y\n"}


def test_the_only_statement_of_a_body_becomes_pass():
    assert children(blocks.delete, "def f(x):\n\tif x:\r\n\t\tx += 1\r\n\treturn x\n") >= {
        "def f(x):\n\tif x:\r\n\t\tpass\n\treturn x\n"
    }


def test_a_statement_is_repeated_only_where_that_can_matter():
    assert children(blocks.duplicate, "def f(x):\n    y = 2\n    x += y\n    return x\n") == {
        "def f(x):\n    y = 2\n    x += y\n    x += y\n    return x\n"
    }


def test_neighbours_change_places_unless_the_second_needs_the_first():
    assert children(blocks.exchange, "x = 1\ny = 2\nz = y\n") == {"y = 2\nx = 1\nz = y\n"}


def test_a_statement_moves_within_its_body_past_no_reader():
    text = "a = 1\nb = 2\nc = 3\nd = c\n"
    assert children(blocks.move, text) == {
        "b = 2\nc = 3\na = 1\nd = c\n",
        "b = 2\nc = 3\nd = c\na = 1\n",
        "c = 3\na = 1\nb = 2\nd = c\n",
        "a = 1\nc = 3\nd = c\nb = 2\n",
    }


def test_docstrings_imports_and_definitions_stay():
    text = '"""Doc."""\nimport os\n\ndef f():\n    """Doc."""\n    return 1\n'
    for operator in (blocks.delete, blocks.duplicate, blocks.exchange, blocks.move):
        assert children(operator, text) == set()


@pytest.mark.parametrize("text", ["a += 1; b = 2\n", "if a: a += 1\n", "a += 1", "if b: \\\n  a += 1\n"])
def test_statements_that_share_or_continue_a_line_stay(text):
    for operator in (blocks.duplicate, blocks.exchange, blocks.move):
        assert not any("a += 1\n" in child.replace(text, "") for child in children(operator, text))


def test_an_assignment_is_added_below_one_with_the_same_indentation():
    made = children(blocks.insert_assignment, "def f(x, y):\n\tx = x + y\n\treturn x\n")
    assert "def f(x, y):\n\tx = x + y\n\tx = min(x, y)\n\treturn x\n" in made
    assert all(child.splitlines()[2].startswith("\tx = ") or child.splitlines()[2].startswith("\tif x ") for child in made)


def test_an_augmented_assignment_gets_another_operator():
    assert children(blocks.swap_augmented, "x += (1)\n") == {"x -= (1)\n", "x *= (1)\n"}
