"""Populations that are none: independent samples from the initial program, and a chain of changes.

They are what every search has to beat at the same budget.
"""

from __future__ import annotations

import numpy as np

from evolve.archive.pool import best_first
from evolve.archive.population import Choice, Member, Population


class _Chain(Population):
    """Remembers the initial program, the best one and the latest."""

    def __init__(self) -> None:
        self._initial: Member | None = None
        self._best: Member | None = None
        self._latest: Member | None = None

    def settle(self, parent: str | None, member: Member | None) -> None:
        if member is None:
            return
        if self._initial is None:
            self._initial = member
        if self._best is None or member.fitness > self._best.fitness:
            self._best = member
        self._latest = member

    def members(self) -> list[Member]:
        kept = {member.program_id: member for member in (self._best, self._initial, self._latest) if member is not None}
        return sorted(kept.values(), key=best_first)


class BestOfN(_Chain):
    """Every step starts from the initial program and is shown nothing else: the best of *n* independent samples."""

    def choose(self, step: int, rng: np.random.Generator, exploration: float = 0.0) -> Choice:
        return _from(self._initial)


class Sequential(_Chain):
    """Every step starts from the latest program that scored, be it better or worse: one long chain of changes."""

    def choose(self, step: int, rng: np.random.Generator, exploration: float = 0.0) -> Choice:
        return _from(self._latest)


def _from(parent: Member | None) -> Choice:
    if parent is None:
        raise LookupError("cannot choose a parent: no scored program has been settled yet")
    return Choice(0, parent.program_id, ())
