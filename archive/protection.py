"""Keeps what came of a new approach for a while, however it scores.

A program of another kind is rarely as good at once as one that was tuned for hundreds of steps; without a few steps of its own
it would leave a full island before anybody has tried to improve it.

Source: the idea of protecting what is new until it has had time to be improved is speciation in NEAT (Stanley & Miikkulainen
2002) and the age layers of ALPS (Hornby 2006); here it is a matter of steps alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evolve.archive.population import Member

#: How often an island that keeps one works on it: as often as on everything else together.
_CHANCE = 0.5


class Protected(NamedTuple):
    """A choice of parent: an island's members with the protected program among them, and where that stands."""

    members: list[Member]
    parent: int


@dataclass(slots=True)
class _Line:
    """A protected program, with what it has had of its protection.

    Attributes:
        member: The best of its line so far.
        until: The count of finished steps at which protection ends.
        children: Finished steps that started from the line.
    """

    member: Member
    until: int
    children: int = 0


class Protection:
    """Programs that are kept beside an island's members and chosen as parents, for some steps.

    A child that is better than the protected program it comes from takes its place, with what is left of the time: what is
    protected is a line of descent. A line ends with its time, or when it has had as many children as steps.
    """

    def __init__(self, steps: int, n_islands: int) -> None:
        """Starts with nothing to protect.

        Args:
            steps: Finished steps of its island for which a program is protected; 0 protects none.
            n_islands: Islands, which take turns.
        """
        self._steps = steps
        self._n_islands = n_islands
        self._finished = 0
        self._lines: list[_Line] = []

    def settle(self, parent: str | None, member: Member | None) -> None:
        """Takes note of a finished step, as `Population.settle` is told of it."""
        if parent is None:
            return
        self._finished += 1
        if self._lines:
            self._continue(parent, member)
        if member is not None and member.new_approach and member.island is not None and self._steps:
            self._lines.append(_Line(member, self._finished + self._steps * self._n_islands))

    def among(self, island: int, members: Sequence[Member], rng: np.random.Generator) -> Protected | None:
        """Chooses a protected program as a parent half of the time that there is one.

        Of several, that with the fewest children, of these the latest. Chance is drawn only where there is one, so that nothing
        else changes where there is none.

        Args:
            island: Where a step works.
            members: Who lives there, best first.
            rng: Of the step.

        Returns:
            The members with it among them, best first but for one that is no member, which stands last; None for another parent.
        """
        lines = [line for line in self._lines if line.member.island == island]
        if not lines or rng.random() >= _CHANCE:
            return None
        chosen = min(reversed(lines), key=lambda line: line.children).member
        ids = [member.program_id for member in members]
        if chosen.program_id in ids:
            return Protected(list(members), ids.index(chosen.program_id))
        return Protected([*members, chosen], len(members))

    def members(self) -> list[Member]:
        """The programs that are protected, the latest last."""
        return [line.member for line in self._lines]

    def _continue(self, parent: str, member: Member | None) -> None:
        for line in self._lines:
            if line.member.program_id == parent:
                line.children += 1
                if member is not None and member.fitness > line.member.fitness:
                    line.member = member
        self._lines = [line for line in self._lines if self._finished < line.until and line.children < self._steps]
