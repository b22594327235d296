"""Recombination of two programs."""

from __future__ import annotations

import pytest
from mutation_kit import child_of, reply_of, request, scored

from evolve.mutation import MutationFailed
from evolve.mutators.recombine import Recombination, RecombinationConfig

PARENT = """\
import math

def first(x):
    y = x + 1
    z = y * 2
    return z

def second(x):
    return x
"""
DONOR = """\
import math

def helper(x):
    return math.sin(x)

def first(x):
    y = x - 1
    z = y * 2
    z = abs(z)
    return z

def second(x):
    return helper(x)
"""


def made(parent: str, donor: str, config: RecombinationConfig | None = None, draws: int = 80) -> set[str]:
    mutator = Recombination(config)
    asked = request(scored(parent), scored(donor, step=1))
    return {child_of(mutator, asked, seed) for seed in range(draws)}


def test_a_function_comes_with_the_definitions_it_needs():
    helper = "def helper(x):\n    return math.sin(x)\ndef second(x):\n    return helper(x)\n"
    assert PARENT.replace("def second(x):\n    return x\n", helper) in made(PARENT, DONOR, RecombinationConfig(function_rate=1.0))


def test_statements_are_taken_one_run_at_a_time():
    children = made(PARENT, DONOR, RecombinationConfig(function_rate=0.0))
    assert PARENT.replace("y = x + 1", "y = x - 1") in children
    assert PARENT.replace("    return z", "    z = abs(z)\n    return z") in children


def test_never_makes_a_copy_of_either():
    children = made(PARENT, DONOR)
    assert not children & {PARENT, DONOR}
    assert len(children) > 5


def test_bodies_inside_compound_statements_are_aligned_too():
    parent = "for i in x:\n    a(i)\n    b(i)\n    c(i)\nend = 1\n"
    donor = "for i in x:\n    a(i, 1)\n    b(i)\n    c(i, 2)\nend = 1\n"
    assert {parent.replace("a(i)", "a(i, 1)"), parent.replace("c(i)", "c(i, 2)")} <= made(parent, donor)


def test_numbers_are_mixed_when_nothing_else_differs():
    children = made("p = [1.0, 2.0, 3]\n", "p = [2.0, 4.0, 13]\n", RecombinationConfig(alpha=0.0))
    assert "p = [2.0, 2.0, 3]\n" in children
    for child in children:
        a, b, c = eval(child.removeprefix("p = "))  # our own text
        assert 1 <= a <= 2 <= b <= 4
        assert 3 <= c <= 13
        assert isinstance(c, int)


def test_the_reply_names_the_donor():
    donor = scored(DONOR, step=1)
    assert reply_of(Recombination(), request(scored(PARENT), donor)).parents == (donor.program.program_id,)


@pytest.mark.parametrize("donors", [[], [PARENT], ["x = 1\n"], [PARENT.replace("y * 2", "y * 3")]])
def test_nothing_to_take_is_said(donors):
    """The last donor differs in one number only: taking it would copy the donor, but blends lie between and beyond."""
    asked = request(scored(PARENT), *(scored(text, step=step) for step, text in enumerate(donors, start=1)))
    if donors and "y * 3" in donors[0]:
        assert child_of(Recombination(RecombinationConfig(alpha=2.0)), asked) not in (PARENT, donors[0])
        return
    with pytest.raises(MutationFailed, match="inspiration"):
        reply_of(Recombination(), asked)


def test_takes_from_another_inspiration_when_the_first_gives_a_copy_only():
    near = scored(PARENT.replace("return x\n", "return x()\n"), step=1)
    far = scored(DONOR, step=2)
    donors = {reply_of(Recombination(), request(scored(PARENT), near, far), seed).parents for seed in range(20)}
    assert donors == {(far.program.program_id,)}
