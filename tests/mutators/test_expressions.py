"""Changes to single expressions."""

from __future__ import annotations

import ast

import numpy as np
import pytest
from mutation_kit import source_of

from evolve.edits import splice
from evolve.mutators import expressions, rearrange


def children(operator, text: str, draws: int = 120) -> set[str]:
    """Everything that an operator makes of a text."""
    source, made = source_of(text), set()
    for seed in range(draws):
        tweak = operator(source, np.random.default_rng(seed))
        if tweak is not None:
            made.add(splice(text, tweak.spans))
    for child in made:
        ast.parse(child)
    return made


def test_an_operator_is_replaced_where_it_stands():
    assert children(expressions.swap_operator, "x = (a) + (  # + here\n    b)\n") == {
        "x = (a) - (  # + here\n    b)\n",
        "x = ((a) * (  # + here\n    b))\n".replace("((a)", "(a)").replace("b))", "b)"),
    }


def test_a_tighter_operator_keeps_the_grouping():
    made = children(expressions.swap_operator, "x = a - (b + c * d)\n")
    assert "x = a - (b * (c * d))\n" in made
    assert "x = a - (b + (c + d))\n" in made
    assert "x = a * (b + c * d)\n" not in made  # - has no * among its relatives


def test_text_formatting_is_no_arithmetic():
    assert children(expressions.swap_operator, "x = 'a' % y + 'b'\n") == set()


@pytest.mark.parametrize(
    ("text", "child"),
    [
        ("x = a < b <= c\n", "x = a <= b <= c\n"),
        ("x = (a) == (b)\n", "x = (a) != (b)\n"),
    ],
)
def test_a_comparison_is_replaced(text, child):
    assert child in children(expressions.swap_comparison, text)


def test_is_and_in_are_left_alone():
    assert children(expressions.swap_comparison, "x = a is not b, a in c, a not in c\n") == set()


def test_and_becomes_or_throughout():
    assert children(expressions.swap_boolean, "x = a and b and (c)\ny = (a or b)\n") == {
        "x = (a or b or (c))\ny = (a or b)\n",
        "x = a and b and (c)\ny = (a and b)\n",
    }


def test_functions_are_replaced_by_relatives_that_exist():
    assert children(expressions.swap_function, "x = min(a, b)\n") == {"x = max(a, b)\n"}
    assert children(expressions.swap_function, "x = np.maximum(a, b)\n") == {"x = np.minimum(a, b)\n"}
    assert children(expressions.swap_function, "from math import sin\nx = sin(1)\n") == set()
    assert children(expressions.swap_function, "from math import sin, cos\nx = sin(1)\n") == {
        "from math import sin, cos\nx = cos(1)\n"
    }


def test_names_are_replaced_by_names_bound_before_and_used_alike():
    text = "import os\ndef f(a, b, points):\n    late = points[0]\n    c = a * b\n    return c + late\n"
    made = children(expressions.rename, text)
    assert "import os\ndef f(a, b, points):\n    late = points[0]\n    c = b * b\n    return c + late\n" in made
    assert not any("points * b" in child or "os" in child.partition("\n")[2] or "= c *" in child for child in made)


def test_numbers_become_names_and_names_numbers():
    text = "def f(a, b):\n    return a * 2.5 + b\n"
    assert "def f(a, b):\n    return a * b + b\n" in children(expressions.number_to_name, text)
    assert "def f(a, b):\n    return 1 * 2.5 + b\n" in children(expressions.name_to_number, text)


def test_wrapping_keeps_integers_where_only_they_will_do():
    assert children(expressions.wrap, "for i in range(n):\n    n = n\n".replace("    n = n\n", "    k = [n - 1]\n"))
    made = children(expressions.wrap, "for i in range(n - 1):\n    pass\n")
    assert "for i in range(((n - 1) + 1)):\n    pass\n" in made
    assert not any("." in child for child in made)


def test_annotations_decorators_patterns_and_f_strings_are_left_alone():
    text = '@deco(1 + 2)\ndef f(x: 3 + 4) -> 5 + 6:\n    match x:\n        case 7:\n            return f"{x + 8}"\n'
    for operator in (expressions.swap_operator, expressions.wrap, expressions.number_to_name, rearrange.keep_operand):
        assert children(operator, text) == set()


def test_one_operand_is_kept():
    assert children(rearrange.keep_operand, "x = (a + b) * c\n") == {"x = (a + b)\n", "x = c\n", "x = (a) * c\n", "x = (b) * c\n"}


def test_operands_and_arguments_are_exchanged():
    assert children(rearrange.exchange_operands, "x = a - b * 2\n") == {"x = (b * 2) - a\n"}
    assert children(rearrange.exchange_operands, "x = f(a, b + 1)\n") == {"x = f((b + 1), a)\n"}
    assert children(rearrange.exchange_operands, "x = f(*a, b)\n") == set()


def test_an_expression_is_copied_from_above_in_the_same_function():
    text = "def f(a):\n    b = a * 2\n    return b - 1\n"
    made = children(rearrange.graft, text)
    assert "def f(a):\n    b = a * 2\n    return (a * 2) - 1\n" in made
    assert not any("(b - 1)" in child.splitlines()[1] for child in made)


def test_ranges_grow_shrink_and_turn():
    made = children(rearrange.range_bounds, "for i in range(n):\n    pass\n")
    assert {
        "for i in range(n + 1):\n    pass\n",
        "for i in range(1, n):\n    pass\n",
        "for i in reversed(range(n)):\n    pass\n",
    } <= made


def test_a_condition_is_negated():
    assert children(rearrange.negate_condition, "if a or b:\n    pass\n") == {"if not (a or b):\n    pass\n"}
