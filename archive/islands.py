"""A population divided into islands that evolve apart and exchange copies of their best.

Source: ring migration of elites between islands, Tanese 1989 ("Distributed genetic algorithms"); islands of programs,
Romera-Paredes et al. 2024 (FunSearch, Nature 625), which resets weak islands where this one migrates.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.archive.population import Choice, Member
from evolve.archive.protection import Protection
from evolve.archive.selection import ParentChoice


@dataclass(frozen=True, slots=True)
class IslandConfig:
    """How the population is divided.

    Attributes:
        n_islands: Populations that evolve apart; they take turns.
        capacity: Programs kept on each; the worst goes out.
        migration_every: Finished steps between migrations.
        migrants: Programs copied from each island to the next at a migration, the best ones.
        n_inspirations: Programs shown beside the parent: the island's best, and others by chance.
    """

    n_islands: int = 2
    capacity: int = 20
    migration_every: int = 40
    migrants: int = 2
    n_inspirations: int = 3

    def __post_init__(self) -> None:
        for name in ("n_islands", "capacity", "migration_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        for name in ("migrants", "n_inspirations"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")


def _order(member: Member) -> tuple[float, int, int, str]:
    """Sorts best first. Ties go to the shorter program (long ones crowd the prompt), then to the earlier one."""
    return (-member.fitness, member.size, member.step, member.program_id)


class _Island:
    """At most ``capacity`` members, best first, each program once."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ids: set[str] = set()
        self.members: list[Member] = []

    def __contains__(self, program_id: str) -> bool:
        return program_id in self._ids

    def add(self, member: Member) -> str | None:
        """Adds a member unless its program is here; returns the identifier of the one that goes out, if any."""
        if member.program_id in self._ids:
            return None
        bisect.insort(self.members, member, key=_order)
        self._ids.add(member.program_id)
        if len(self.members) <= self._capacity:
            return None
        worst = self.members.pop().program_id
        self._ids.remove(worst)
        return worst


class Islands:
    """A `Population` of islands.

    The initial program lives on every island; a child joins the island that its step worked on. Island ``step %
    n_islands`` works on a step. Every ``migration_every`` finished steps, each island's best are copied to the next one in
    a ring; they stay where they came from.
    """

    def __init__(self, config: IslandConfig, parents: ParentChoice, *, protect: int = 0) -> None:
        """Starts empty.

        Args:
            config: How the population is divided.
            parents: How parents are chosen.
            protect: Finished steps of its island for which what came of a new approach is kept, however it scores.
        """
        self._config = config
        self._parents = parents
        self._protection = Protection(protect, config.n_islands)
        self._islands = [_Island(config.capacity) for _ in range(config.n_islands)]
        self._children: dict[str, int] = {}
        self._steps = 0

    @property
    def traits(self) -> frozenset[str]:
        return frozenset()

    @property
    def embeds(self) -> bool:
        return False

    def settle(self, parent: str | None, member: Member | None) -> None:
        if parent in self._children:
            self._children[parent] += 1
        if member is not None:
            self._add(member, self._islands if member.island is None else [self._islands[member.island % len(self._islands)]])
        self._protection.settle(parent, member)
        if parent is None:
            return
        self._steps += 1
        if self._steps % self._config.migration_every == 0:
            self._migrate()

    def choose(self, step: int, rng: np.random.Generator) -> Choice:
        index = self._inhabited(step % len(self._islands))
        members = self._islands[index].members
        protected = self._protection.among(index, members, rng)
        if protected is not None:
            members, parent = protected
        else:
            children = np.fromiter((self._children[member.program_id] for member in members), int, len(members))
            parent = self._parents.choose(members, children, rng)
        inspirations = _inspirations(len(members), parent, self._config.n_inspirations, rng)
        return Choice(index, members[parent].program_id, tuple(members[i].program_id for i in inspirations))

    def members(self) -> list[Member]:
        kept = {member.program_id: member for island in self._islands for member in island.members}
        kept |= {member.program_id: member for member in self._protection.members()}
        return sorted(kept.values(), key=_order)

    def on_island(self, island: int) -> list[Member]:
        """The programs kept on one island, best first."""
        return list(self._islands[island].members)

    def children_of(self, program_id: str) -> int:
        """Finished steps that started from a kept program.

        Raises:
            KeyError: If the program is not kept on any island.
        """
        return self._children[program_id]

    def _add(self, member: Member, islands: Sequence[_Island]) -> None:
        self._children.setdefault(member.program_id, 0)
        gone = [island.add(member) for island in islands]
        # What left one island may live on another, and a member worse than a full island's worst leaves at once.
        for program_id in [*filter(None, gone), member.program_id]:
            if program_id in self._children and not any(program_id in island for island in self._islands):
                del self._children[program_id]

    def _inhabited(self, start: int) -> int:
        """Returns the first island from ``start`` on, around the ring, that has members."""
        count = len(self._islands)
        for index in ((start + offset) % count for offset in range(count)):
            if self._islands[index].members:
                return index
        raise LookupError("cannot choose a parent: no scored program has been settled yet")

    def _migrate(self) -> None:
        # All leave before any arrives, so that nobody travels two islands at once.
        leaving = [island.members[: self._config.migrants] for island in self._islands]
        for source, travellers in enumerate(leaving):
            target = self._islands[(source + 1) % len(self._islands)]
            for member in travellers:
                self._add(member, [target])


def _inspirations(n_members: int, parent: int, count: int, rng: np.random.Generator) -> list[int]:
    """Picks the best member and others by chance, never the parent.

    Returns:
        Indices in ascending order, which is best first; fewer than ``count`` when there are no more.
    """
    others = np.delete(np.arange(n_members), parent)
    chosen = others[:count]
    if 0 < count < len(others):
        chosen = np.concatenate((others[:1], rng.choice(others[1:], count - 1, replace=False)))
    return sorted(chosen.tolist())
