"""Tuning of numeric literals."""

from __future__ import annotations

import ast
import math

import numpy as np
import pytest
from mutation_kit import child_of, reply_of, request, scored, source_of

from evolve.mutation import MutationFailed
from evolve.mutators.literals import SIGMA, LiteralsConfig, LiteralTuning, difference_step, int_step, nice_step
from evolve.mutators.numerals import digits_for, rewritten
from evolve.program import Direction

ONLY_STEPS = {"difference_rate": 0.0, "nice_rate": 0.0}
ONLY_DIFFERENCES = LiteralsConfig(difference_rate=1.0)


def numbers_of(text: str) -> list[float]:
    return [numeral.value for numeral in source_of(text).numerals]


def shape_of(text: str) -> str:
    """The tree with every number, its sign included, blanked."""

    class Blank(ast.NodeTransformer):
        def visit_Constant(self, node):
            return ast.Constant("number") if type(node.value) in (int, float) else node

        def visit_UnaryOp(self, node):
            node = self.generic_visit(node)
            negative = isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
            return node.operand if negative and node.operand.value == "number" else node

    return ast.dump(Blank().visit(ast.parse(text)))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("x = 1 + 2.5 - -3", [1, 2.5, -3]),
        ("x = (-2) ** 2", [-2, 2]),
        ("x = -2 ** 2", [2, 2]),
        ("x: Literal[3] = 4", [4]),
        ("def f(a: 'T' = 5) -> tuple[int, 6]:\n    return 7", [5, 7]),
        ("@cache(8)\ndef f():\n    return 9", [9]),
        ("x = f'{10:>11}' 'a 12' + str(13)", [13]),
        ("x = 0xFF + 0b1 + 0o7 + 1j + True", []),
        ("x = 1_000 + 1e3 + .5 + 2.", [1000, 1000.0, 0.5, 2.0]),
        ("match x:\n    case 1 | -2:\n        y = 3", [3]),
        ('"""4"""\nx = ~5', []),
        ("größe = 'é'; x = 6", [6]),
        ("x = 1e999 + 123456789012345678", []),
    ],
)
def test_finds_the_numbers_that_can_be_tuned(text, values):
    found = numbers_of(text)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("x = 2 ** y", -3, "x = (-3) ** y"),
        ("x = y ** 2", -3, "x = y ** -3"),
        ("x = (2) ** y", -3, "x = (-3) ** y"),
        ("x = y-2", -3, "x = y--3"),
        ("def f():\n    return-2", 3, "def f():\n    return 3"),
        ("x = -2.5", 3.0, "x = 3.0"),
        ("x = 2. .real", -1.5, "x = (-1.5) .real"),
    ],
)
def test_writes_numbers_so_that_the_rest_parses_as_before(text, value, expected):
    source = source_of(text)
    span = rewritten(source, source.numerals[0], value)
    child = text[: span.start] + span.text + text[span.end :]
    assert child == expected
    assert numbers_of(child)[0] == value
    assert shape_of(child) == shape_of(text)


def test_children_differ_in_numbers_only():
    text = "import math\n\ndef f(n=3):\n    return [math.sin(0.5 * n) ** 2 - 1.25, -7, 0.0, 1e-8] # 4\n"
    mutator = LiteralTuning()
    parent = request(scored(text))
    for seed in range(60):
        child = child_of(mutator, parent, seed)
        assert child != text
        assert shape_of(child) == shape_of(text)
        assert child.endswith("# 4\n")
        assert [type(v) for v in numbers_of(child)] == [type(v) for v in numbers_of(text)]


def test_the_child_inherits_the_scale_that_made_it_and_keeps_other_strategy():
    mutator = LiteralTuning(LiteralsConfig(restart_rate=0.0, **ONLY_STEPS))
    parent = scored("x = 1.5\n", strategy={SIGMA: 0.01, "other": 4.0})
    reply = reply_of(mutator, request(parent))
    assert reply.strategy["other"] == 4.0
    # One number moves: tau = 1 / sqrt(2), so log(sigma' / sigma) is normal with that deviation; 5 of them bound it.
    assert 0 < abs(math.log(reply.strategy[SIGMA] / 0.01)) < 5 / math.sqrt(2)


def test_the_scale_stays_within_its_bounds():
    mutator = LiteralTuning(LiteralsConfig(min_sigma=0.05, sigma=0.1, max_sigma=0.2, **ONLY_STEPS))
    for strategy in ({SIGMA: 1e-12}, {SIGMA: 1e12}):
        for seed in range(20):
            sigma = reply_of(mutator, request(scored("x = 1.5\n", strategy=strategy)), seed).strategy[SIGMA]
            assert 0.05 <= sigma <= 0.2


def test_steps_shrink_with_the_scale_and_keep_enough_digits_to_be_seen():
    mutator = LiteralTuning(LiteralsConfig(restart_rate=0.0, **ONLY_STEPS))
    for seed in range(20):
        value = numbers_of(child_of(mutator, request(scored("x = 1.5\n", strategy={SIGMA: 1e-8})), seed))[0]
        # sigma' <= 1e-8 * exp(5 / sqrt(2)) and a normal draw within 5 deviations.
        assert 0 < abs(value - 1.5) < 1.5 * 1e-8 * math.exp(5 / math.sqrt(2)) * 5


def test_digits_grow_as_changes_shrink():
    assert digits_for(1.0, 0.5) == 6
    assert digits_for(1.0, 1e-6) == 9
    assert digits_for(1.0, 1e-30) == 17


def test_integers_move_by_at_least_one_and_mostly_keep_their_side_of_zero():
    rng = np.random.default_rng(0)
    for value in (1, 2, 50, -7):
        moved = [int_step(value, 0.1, rng) for _ in range(200)]
        assert value not in moved
        assert all(fresh * value >= 0 or value < 0 for fresh in moved)


def test_zero_moves_at_the_scale_of_the_other_numbers():
    mutator = LiteralTuning(LiteralsConfig(restart_rate=0.0, all_rate=0.0, **ONLY_STEPS))
    moved = []
    for seed in range(60):
        first = numbers_of(child_of(mutator, request(scored("x = [0.0, 1000.0]\n", strategy={SIGMA: 0.1})), seed))[0]
        moved.append(abs(first))
    assert 1.0 < max(moved) < 1000.0 * 0.1 * math.exp(5 / math.sqrt(2)) * 5


def test_nice_steps_land_on_few_digits_or_simple_fractions():
    rng = np.random.default_rng(0)
    landed = {nice_step([0.3333214], rng)[0] for _ in range(100)}
    assert {0.3, 0.33, 0.333, 1 / 3} <= landed
    assert nice_step([3, 4], rng) == (3, 4)


def test_a_difference_step_is_a_multiple_of_the_difference():
    values = (1.0, 2.0, 10)
    for seed in range(30):
        moved = difference_step(values, (0.5, -0.25, 4), np.random.default_rng(seed))
        factors = [(moved[0] - 1.0) / 0.5, (moved[1] - 2.0) / -0.25]
        used = [factor for factor in factors if factor != 0]
        assert all(0.2 <= factor <= 1.2 for factor in used)
        assert max(used, default=1.0) - min(used, default=1.0) < 1e-4  # six digits are written
        assert isinstance(moved[2], int)


@pytest.mark.parametrize(("direction", "better"), [(Direction.MAXIMIZE, 9.0), (Direction.MINIMIZE, -9.0)])
def test_differences_point_towards_the_better_program(direction, better):
    parent, other = scored("x = 1.0\n", objective=0.0), scored("x = 2.0\n", step=1, objective=better)
    for seed in range(20):
        reply = reply_of(LiteralTuning(ONLY_DIFFERENCES), request(parent, other, direction=direction), seed)
        child = LiteralTuning().apply(reply, parent.program)["a.py"]
        assert 1.2 <= numbers_of(child)[0] <= 2.2
        assert reply.parents == (other.program.program_id,)


@pytest.mark.parametrize("text", ["y = 2.0\n", "x = 2\n", "x = 2.0  # other\n", "x = 2.0 + 1.0\n"])
def test_programs_that_differ_in_more_than_numbers_give_no_differences(text):
    reply = reply_of(LiteralTuning(ONLY_DIFFERENCES), request(scored("x = 1.0\n"), scored(text, step=1)))
    assert reply.parents == ()


def test_a_program_without_numbers_has_nothing_to_tune():
    with pytest.raises(MutationFailed, match="no number"):
        reply_of(LiteralTuning(), request(scored("x = y\n")))


@pytest.mark.parametrize("change", [{"sigma": 0.0}, {"sigma": 5.0}, {"nice_rate": 1.5}, {"attempts": 0}])
def test_refuses_impossible_settings(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        LiteralsConfig(**change)


def test_tuning_falls_towards_the_optimum_of_a_quadratic():
    """A (4 + 1) evolution strategy on two numbers: 150 steps of any sound tuning gain two orders of magnitude."""
    mutator, rng = LiteralTuning(), np.random.default_rng(0)

    def loss(text: str) -> float:
        x, y = numbers_of(text)
        return (x - 3.0) ** 2 + 4 * (y - 0.7) ** 2

    kept = [scored("p = (1.0, 1.0)\n", objective=loss("p = (1.0, 1.0)\n"))]
    for step in range(1, 151):
        parent = kept[int(rng.integers(len(kept)))]
        reply = reply_of(mutator, request(parent, *(s for s in kept if s is not parent), direction=Direction.MINIMIZE), step)
        text = mutator.apply(reply, parent.program)["a.py"]
        kept.append(scored(text, step=step, objective=loss(text), strategy=reply.strategy))
        kept = sorted(kept, key=lambda s: s.evaluation.objective)[:4]
    assert kept[0].evaluation.objective < 4.36 / 100
