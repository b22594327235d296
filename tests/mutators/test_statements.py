"""Mutation on the syntax tree, as a whole."""

from __future__ import annotations

import json

import pytest
from mutation_kit import child_of, reply_of, request, scored

from evolve.mutation import MutationFailed, MutationRequest
from evolve.mutators.statements import OPERATORS, StatementMutation, StatementsConfig

TEXT = """\
import math

def f(a, b, n):
    total = 0.0
    best = a
    for i in range(n):
        x = math.sin(a * i + 0.5)
        if x > b and i > 1:
            total += x
        best = min(best, x)
    return total - best
"""


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda pair: pair[0].__name__)
def test_every_operator_finds_something_to_do_in_an_ordinary_function(operator):
    mutator = StatementMutation(operators=[operator])
    assert len({child_of(mutator, request(scored(TEXT)), seed) for seed in range(12)} - {TEXT}) >= 1


def test_children_are_many_and_small():
    replies = [reply_of(StatementMutation(), request(scored(TEXT)), seed) for seed in range(80)]
    assert len({reply.text for reply in replies}) > 60
    assert max(len(reply.text) for reply in replies) < 1000
    assert all(json.loads(reply.text)["note"].endswith(".") for reply in replies)


def test_several_changes_come_at_the_configured_rate():
    once = StatementMutation(StatementsConfig(again=0.0))
    often = StatementMutation(StatementsConfig(again=0.8))

    def sentences(mutator, seed):
        return json.loads(reply_of(mutator, request(scored(TEXT)), seed).text)["note"].count(". ")

    assert sum(sentences(often, seed) for seed in range(20)) > sum(sentences(once, seed) for seed in range(20))


def test_says_that_other_languages_are_not_for_it():
    asked = request(scored(TEXT))
    parent = asked.parent.program
    other = type(parent).make(0, {"main.rs": "fn main() {}"})
    with pytest.raises(MutationFailed, match=r"Python files only, and none of main\.rs"):
        reply_of(StatementMutation(), MutationRequest(asked.task, asked.parent._replace(program=other)))
