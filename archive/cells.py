"""Keeps the best program of every cell of a divided space of traits.

Source: MAP-Elites, Mouret & Clune 2015 (arXiv:1504.04909). Deviations: how the space is divided is learnt from the first
members and then fixed for good, so that a program never changes its cell (bounds that follow the run would move programs
about); parents are drawn by rank and children instead of uniformly over cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from evolve.archive.pool import Ranked, best_first, child_counts, inspirations
from evolve.archive.population import Choice, Member, Population
from evolve.archive.selection import ParentChoice

Cell = tuple[int, ...]

#: Metrics can be any finite number, and the square of this one still is.
_HUGE = 1e100


class Division(Protocol):
    """Divides the space of traits into cells, the same ones for as long as it lives."""

    def cell(self, member: Member) -> Cell:
        """The cell of a member: a pure function of its traits, whichever of them it has."""
        ...

    def positions(self, cells: Sequence[Cell]) -> np.ndarray:
        """Where cells lie, ``(n_cells, n_traits)``, in units in which every trait counts alike."""
        ...


#: Learns a division from the first members, in the order in which they were settled.
Learn = Callable[[Sequence[Member]], Division]


class Room(NamedTuple):
    """How much is kept and shown.

    Attributes:
        warm_up: Members that the division is learnt from; all are kept until then. 0 learns nothing.
        capacity: Cells kept after that.
        n_inspirations: Programs shown beside the parent.
    """

    warm_up: int
    capacity: int
    n_inspirations: int


def trait_rows(members: Sequence[Member], names: Sequence[str]) -> np.ndarray:
    """Lays traits out as ``(n_members, n_names)``, NaN where a member lacks one; what is huge is cut off at `_HUGE`."""
    rows = [[member.traits.get(name, np.nan) for name in names] for member in members]
    table: np.ndarray = np.clip(np.array(rows, dtype=float).reshape(len(members), len(names)), -_HUGE, _HUGE)
    return table


class CellElites(Population):
    """A `Population` that keeps one program per cell: the best that was ever settled there.

    At most ``capacity`` cells are kept; the one whose program is worst goes out, and nothing worse can take its place later.
    Every elite may be a parent. Beside it are shown the best, elites of the cells nearest to the parent's, and others by chance.
    """

    def __init__(self, traits: frozenset[str], room: Room, learn: Learn, parents: ParentChoice) -> None:
        """Makes an empty map.

        Args:
            traits: What members must come with.
            room: How much is kept.
            learn: Makes the division, once.
            parents: Chooses among the elites.
        """
        self._traits = traits
        self._room = room
        self._learn = learn
        self._parents = parents
        self._division = learn(()) if room.warm_up == 0 else None
        self._first: list[Member] = []
        self._ranked = Ranked()
        self._elites: dict[Cell, Member] = {}
        self._cells: dict[str, Cell] = {}
        self._children: dict[str, int] = {}

    @property
    def traits(self) -> frozenset[str]:
        return self._traits

    def settle(self, parent: str | None, member: Member | None) -> None:
        if parent in self._children:
            self._children[parent] += 1
        if member is None or member.program_id in self._children:
            return
        if self._division is None:
            self._keep(member)
            self._first.append(member)
            if len(self._first) >= self._room.warm_up:
                self._divide()
        else:
            self._compete(member, self._division.cell(member))

    def choose(self, step: int, rng: np.random.Generator, exploration: float = 0.0) -> Choice:
        members = self._ranked.members
        if not members:
            raise LookupError("cannot choose a parent: no scored program has been settled yet")
        parent = self._parents.choose(members, child_counts(members, self._children), rng, exploration)
        near = self._nearest(members, parent)
        shown = inspirations(len(members), parent, self._room.n_inspirations, rng, favoured=near)
        return Choice(0, members[parent].program_id, tuple(members[i].program_id for i in shown))

    def members(self) -> list[Member]:
        return list(self._ranked.members)

    def cell_of(self, member: Member) -> Cell | None:
        """The cell of a member, kept or not; None while the division is still to be learnt."""
        return None if self._division is None else self._division.cell(member)

    def _divide(self) -> None:
        """Learns the division and lets those who were kept so far compete for its cells."""
        self._division = self._learn(self._first)
        kept, self._ranked, counts = self._first, Ranked(), self._children
        self._first, self._children = [], {}
        for member in kept:
            self._compete(member, self._division.cell(member))
        self._children = {name: counts[name] for name in self._children}

    def _compete(self, member: Member, cell: Cell) -> None:
        held = self._elites.get(cell)
        if held is not None:
            if best_first(held) <= best_first(member):
                return
            self._leave(held)
        self._keep(member)
        self._elites[cell], self._cells[member.program_id] = member, cell
        if len(self._ranked) > self._room.capacity:
            self._leave(self._ranked.members[-1])

    def _keep(self, member: Member) -> None:
        self._ranked.add(member)
        self._children.setdefault(member.program_id, 0)

    def _leave(self, member: Member) -> None:
        self._ranked.remove(member)
        del self._children[member.program_id]
        del self._elites[self._cells.pop(member.program_id)]

    def _nearest(self, members: Sequence[Member], parent: int) -> list[int]:
        """Orders the elites by how near their cells are to the parent's, the better ones first among equals."""
        if self._division is None or len(members) < 2 or self._room.n_inspirations == 0:
            return []
        positions = self._division.positions([self._cells[member.program_id] for member in members])
        distances = np.square(positions - positions[parent]).sum(axis=1)
        order: list[int] = np.argsort(distances, kind="stable").tolist()
        return order
