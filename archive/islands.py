"""A population divided into islands that evolve apart and exchange copies of their best.

Source: migration of elites between islands, Tanese 1989 ("Distributed genetic algorithms"); islands of programs of which
the weak are emptied and founded anew, Romera-Paredes et al. 2024 (FunSearch, Nature 625), by the clock and half of them at
once, where ours go one by one when they stagnate; new islands on stagnation, Lange et al. 2025 (ShinkaEvolve,
arXiv:2509.19349).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from evolve.archive.pool import Crowding, Pool, as_stored, best_first, child_counts, inspirations
from evolve.archive.population import Choice, Member, Population
from evolve.archive.protection import Protection
from evolve.archive.selection import ParentChoice
from evolve.archive.topology import Topology, check_topology, edges


class Refound(StrEnum):
    """What an emptied or a new island begins with."""

    BEST = "best"
    INITIAL = "initial"


@dataclass(frozen=True, slots=True)
class IslandConfig:
    """How the population is divided.

    Attributes:
        n_islands: Populations that evolve apart; they take turns. None is what the strategy has, or one.
        capacity: Programs kept on each.
        migration_every: Finished steps between migrations.
        migrants: Programs copied along each edge of the topology at a migration, the best ones.
        n_inspirations: Programs shown beside the parent: the island's best, and others by chance.
        topology: Who sends to whom: ``"ring"``, ``"both"`` (neighbours), ``"full"``, ``"none"``, or edges such as
            ``"0>1, 1>2"``.
        crowding: What goes out of a full island: ``"worst"``, or with ``"distance"`` the newcomer or the program most like it,
            whichever is worse.
        retire_after: Turns of an island in which no better program is born there, until it is emptied and founded anew; never
            the one that holds the best program. None keeps all.
        spawn_after: Finished steps without a new best program, until a new island is founded; None founds none.
        max_islands: No more islands than this are founded.
        refound: What an emptied or a new island begins with: ``"best"``, copies of the best of the best island (``migrants``,
            at least one), or ``"initial"``, the initial program.
    """

    n_islands: int | None = None
    capacity: int = 20
    migration_every: int = 40
    migrants: int = 2
    n_inspirations: int = 3
    topology: str = Topology.RING.value
    crowding: Crowding = Crowding.WORST
    retire_after: int | None = None
    spawn_after: int | None = None
    max_islands: int = 8
    refound: Refound = Refound.BEST

    def __post_init__(self) -> None:
        for name in ("at_first", "capacity", "migration_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{'n_islands' if name == 'at_first' else name} must be >= 1, got {getattr(self, name)}")
        for name in ("migrants", "n_inspirations"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        for name, value in (("retire_after", self.retire_after), ("spawn_after", self.spawn_after)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be >= 1 or left out, got {value}")
        if self.spawn_after is not None and self.max_islands < self.at_first:
            raise ValueError(f"max_islands must be >= n_islands ({self.at_first}), got {self.max_islands}")
        check_topology(self.topology, self.at_first if self.spawn_after is None else self.max_islands)

    @property
    def at_first(self) -> int:
        """Islands that there are at first."""
        return 1 if self.n_islands is None else self.n_islands


class _Island:
    """A pool, and for how many of its turns nothing better was born in it."""

    def __init__(self, config: IslandConfig) -> None:
        self.pool = Pool(config.capacity, config.crowding)
        self.idle = 0
        self._record = -math.inf

    def born(self, fitness: float) -> None:
        """Takes note of a program born here; copies from elsewhere are none of this island's doing."""
        if fitness > self._record:
            self._record, self.idle = fitness, 0

    def founded(self) -> None:
        """Starts counting: whatever lives here was brought."""
        self.idle = 0
        self._record = max((member.fitness for member in self.pool.members[:1]), default=-math.inf)


class Islands(Population):
    """A `Population` of islands.

    Starting programs live on every island; a child joins the island that its step worked on, also when that one was
    emptied meanwhile: an island keeps its number for good. Island ``step % number of islands`` works on a step. Every
    ``migration_every`` finished steps, each island's best are copied along the edges of the topology; they stay where they
    came from.

    A failed step does not say where it worked, so stagnation is counted in turns: finished step *k* is a turn of island
    ``k % number of islands``.
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
        self._protection = Protection(protect, config.at_first)
        self._islands = [_Island(config) for _ in range(config.at_first)]
        self._children: dict[str, int] = {}
        self._initial = Pool(config.capacity)
        self._steps = 0
        self._best = -math.inf
        self._since_best = 0

    @property
    def embeds(self) -> bool:
        return self._config.crowding is Crowding.DISTANCE

    @property
    def n_islands(self) -> int:
        """Islands that there are now."""
        return len(self._islands)

    def settle(self, parent: str | None, member: Member | None) -> None:
        if parent in self._children:
            self._children[parent] += 1
        turn = self._count(parent)
        if member is not None:
            self._welcome(as_stored(member))
        self._protection.settle(parent, member)
        if parent is None:
            return
        if self._steps % self._config.migration_every == 0:
            self._migrate()
        self._retire(turn)
        self._spawn()

    def choose(self, step: int, rng: np.random.Generator, exploration: float = 0.0) -> Choice:
        index = self._inhabited(step % len(self._islands))
        members = self._islands[index].pool.members
        protected = self._protection.among(index, members, rng)
        if protected is not None:
            members, parent = protected
        else:
            parent = self._parents.choose(members, child_counts(members, self._children), rng, exploration)
        shown = inspirations(len(members), parent, self._config.n_inspirations, rng)
        return Choice(index, members[parent].program_id, tuple(members[i].program_id for i in shown))

    def members(self) -> list[Member]:
        kept = {member.program_id: member for island in self._islands for member in island.pool.members}
        kept |= {member.program_id: member for member in self._protection.members()}
        return sorted(kept.values(), key=best_first)

    def on_island(self, island: int) -> list[Member]:
        """The programs kept on one island, best first."""
        return list(self._islands[island].pool.members)

    def children_of(self, program_id: str) -> int:
        """Finished steps that started from a kept program.

        Raises:
            KeyError: If the program is not kept on any island.
        """
        return self._children[program_id]

    def _count(self, parent: str | None) -> int:
        """Counts a finished step, and returns the island whose turn it was; initial programs are no steps."""
        if parent is not None:
            self._steps += 1
            self._since_best += 1
        turn = self._steps % len(self._islands)
        if parent is not None:
            self._islands[turn].idle += 1
        return turn

    def _welcome(self, member: Member) -> None:
        homes = self._islands if member.island is None else [self._islands[member.island % len(self._islands)]]
        if member.island is None:
            self._initial.put(member)
        self._add([member], homes)
        for island in homes:
            island.born(member.fitness)
        if member.fitness > self._best:
            self._best, self._since_best = member.fitness, 0

    def _add(self, members: Iterable[Member], islands: Sequence[_Island]) -> None:
        for member in members:
            self._children.setdefault(member.program_id, 0)
            gone = [island.pool.put(member) for island in islands]
            # A newcomer that a full island does not take is among them.
            self._forget(left for left in gone if left is not None)

    def _forget(self, members: Iterable[Member]) -> None:
        """Forgets programs that live on no island; what left one may live on another."""
        for member in members:
            if not any(member.program_id in island.pool for island in self._islands):
                self._children.pop(member.program_id, None)

    def _inhabited(self, start: int) -> int:
        """Returns the first island from ``start`` on, around the ring, that has members."""
        count = len(self._islands)
        for index in ((start + offset) % count for offset in range(count)):
            if self._islands[index].pool.members:
                return index
        raise LookupError("cannot choose a parent: no scored program has been settled yet")

    def _migrate(self) -> None:
        # All leave before any arrives, so that nobody travels two islands at once.
        leaving = [island.pool.members[: self._config.migrants] for island in self._islands]
        for source, target in edges(self._config.topology, len(self._islands)):
            self._add(leaving[source], [self._islands[target]])

    def _retire(self, turn: int) -> None:
        """Empties the island whose turn it was, if it stagnates and another one holds the best program."""
        after, island = self._config.retire_after, self._islands[turn]
        if after is None or island.idle < after or self._best_island() in (None, island):
            return
        gone = island.pool.clear()
        self._found(island)
        self._forget(gone)

    def _spawn(self) -> None:
        """Founds another island when the whole run stagnates."""
        after = self._config.spawn_after
        if after is None or self._since_best < after or len(self._islands) >= self._config.max_islands:
            return
        # Counted anew, so that each new island has as long to show what it finds.
        self._since_best = 0
        self._islands.append(_Island(self._config))
        self._found(self._islands[-1])

    def _best_island(self) -> _Island | None:
        inhabited = [island for island in self._islands if island.pool.members]
        return min(inhabited, key=lambda island: best_first(island.pool.members[0]), default=None)

    def _found(self, island: _Island) -> None:
        best = self._best_island()
        founders = self._initial.members
        if best is not None and (self._config.refound is Refound.BEST or not founders):
            founders = best.pool.members[: max(1, self._config.migrants)]
        self._add(founders, [island])
        island.founded()
