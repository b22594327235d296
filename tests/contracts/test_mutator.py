"""The built-in mutators keep the published contract."""

from __future__ import annotations

from evolve.mutators.literals import LiteralTuning
from evolve.mutators.recombine import Recombination
from evolve.mutators.statements import StatementMutation
from evolve.testing.mutator import MutatorContract


class TestLiteralTuning(MutatorContract):
    def make(self):
        return LiteralTuning()


class TestStatementMutation(MutatorContract):
    def make(self):
        return StatementMutation()


class TestRecombination(MutatorContract):
    def make(self):
        return Recombination()
