"""A population of programs none of which is worse than another in every respect.

Sources: fronts of bounded size, and parents by tournaments of crowding distance, NSGA-II (Deb, Pratap, Agarwal & Meyarivan
2002); parents in proportion to the instances that they are best on, Agrawal et al. 2025 (GEPA, arXiv:2507.19457), which keeps the
winners alone, where ours keeps whatever is not dominated. With one instance, GEPA's front is a single program and its search
climbs from the best; here, programs that are dominated and good are kept in reserve, and some parents are chosen by the
objective among both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evolve.archive.pareto import covered, covering, crowding_distances, wins
from evolve.archive.pool import Pool, Ranked, best_first, child_counts, inspirations
from evolve.archive.population import Choice, Member, Population
from evolve.archive.selection import ParentChoice
from evolve.archive.traits import check_traits
from evolve.errors import ConfigError
from evolve.program import Direction

_INSTANCE = "instance:"
_ALL_INSTANCES = "instance:*"

#: Instances that the front compares, those seen first; a task that names new ones for every program must cost no more.
_MAX_INSTANCES = 1000


class Axis(NamedTuple):
    """A trait that the front compares, and which way it is better."""

    trait: str
    direction: Direction


def read_axis(text: str, default: Direction) -> Axis:
    """Reads an objective of a front.

    Args:
        text: A trait and a direction, such as ``"metric:latency:minimize"``; instances may leave it out.
        default: The direction of instances that do, the task's.

    Raises:
        ConfigError: If the trait is unknown, or has no direction and needs one.
    """
    trait, _, direction = text.rpartition(":")
    if direction in list(Direction):
        axis = Axis(trait, Direction(direction))
    elif text.startswith(_INSTANCE):
        axis = Axis(text, default)
    else:
        raise ConfigError(f"front.objectives: {text!r} needs a direction; write '{text}:minimize' or '{text}:maximize'")
    check_traits([axis.trait], "front.objectives")
    return axis


@dataclass(frozen=True, slots=True)
class FrontConfig:
    """What a front compares, and how much it keeps.

    Attributes:
        objectives: Traits beside the objective itself, each with its direction: ``"metric:latency:minimize"``. Instances
            follow the task's direction unless they name one; ``instance:*`` stands for all of them.
        capacity: Programs on the front; where it is crowded most, one goes out.
        reserve: Programs kept beside the front: the best of those that are dominated, or went out.
        objective_share: Share of parents chosen by the objective alone, among front and reserve. The others come from the
            front: by the instances that they are best on, or where the front is least crowded.
        n_inspirations: Programs shown beside the parent: the best, some that are better in other respects, others by chance.
    """

    objectives: tuple[str, ...] = (_ALL_INSTANCES,)
    capacity: int = 40
    reserve: int = 10
    objective_share: float = 0.25
    n_inspirations: int = 3

    def __post_init__(self) -> None:
        traits = [read_axis(text, Direction.MAXIMIZE).trait for text in self.objectives]
        if len(set(traits)) < len(traits):
            raise ValueError(f"objectives must name each trait once, got {list(self.objectives)}")
        if self.capacity < 1:
            raise ValueError(f"capacity must be >= 1, got {self.capacity}")
        for name in ("reserve", "n_inspirations"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.objective_share <= 1:
            raise ValueError(f"objective_share must lie in [0, 1], got {self.objective_share}")


class Front(Population):
    """A `Population` that keeps what is not dominated, and some of what is.

    A program dominates another when it is at least as good on every axis (fitness, objectives, instances) and better on one;
    of equals, the shorter and then the earlier one counts as better. A value that a program lacks is worse than any.
    The best fitness is always on the front.
    """

    def __init__(self, config: FrontConfig, parents: ParentChoice, *, direction: Direction = Direction.MAXIMIZE) -> None:
        """Makes an empty front.

        Args:
            config: What is compared.
            parents: Chooses by the objective, among front and reserve.
            direction: The task's, which instances follow.
        """
        self._config = config
        self._parents = parents
        axes = [read_axis(text, direction) for text in config.objectives]
        self._open = next((axis.direction for axis in axes if axis.trait == _ALL_INSTANCES), None)
        self._axes = [axis for axis in axes if axis.trait != _ALL_INSTANCES]
        self._traits = frozenset(axis.trait for axis in axes)
        self._met = set(self._traits)
        self._front: list[Member] = []
        self._rows = np.empty((0, 1 + len(self._axes)))
        self._reserve = Pool(config.reserve)
        self._kept = Ranked()
        self._children: dict[str, int] = {}

    @property
    def traits(self) -> frozenset[str]:
        return self._traits

    def settle(self, parent: str | None, member: Member | None) -> None:
        if parent in self._children:
            self._children[parent] += 1
        if member is None or member.program_id in self._children:
            return
        self._meet_instances(member)
        self._kept.add(member)
        self._children[member.program_id] = 0
        row = self._row(member)
        better = covering(self._rows, row)
        equal = better & covered(self._rows, row)
        if (better & ~equal).any() or any(best_first(self._front[i]) < best_first(member) for i in np.flatnonzero(equal)):
            self._demote([member])
            return
        self._drop(np.flatnonzero(covered(self._rows, row)))
        self._front.append(member)
        self._rows = np.vstack([self._rows, row])
        if len(self._front) > self._config.capacity:
            self._drop(np.array([self._most_crowded()]))

    def choose(self, step: int, rng: np.random.Generator, exploration: float = 0.0) -> Choice:
        members = self._kept.members
        if not members:
            raise LookupError("cannot choose a parent: no scored program has been settled yet")
        drawn = self._from_front(rng)
        if drawn is None:
            parent = self._parents.choose(members, child_counts(members, self._children), rng, exploration)
        else:
            parent = self._kept.index(self._front[drawn])
        better = [self._kept.index(member) for member in self._better_elsewhere(members[parent])]
        shown = inspirations(len(members), parent, self._config.n_inspirations, rng, favoured=better)
        return Choice(0, members[parent].program_id, tuple(members[i].program_id for i in shown))

    def members(self) -> list[Member]:
        return list(self._kept.members)

    def on_front(self) -> list[Member]:
        """The programs on the front, best objective first."""
        return sorted(self._front, key=best_first)

    def _row(self, member: Member) -> np.ndarray:
        """Orients what the front compares, ``(n_axes,)``; -inf stands for what the member lacks."""
        values = ((member.traits.get(axis.trait), axis.direction) for axis in self._axes)
        row = [-np.inf if value is None else direction.oriented(value) for value, direction in values]
        return np.array([member.fitness, *row])

    def _meet_instances(self, member: Member) -> None:
        """Makes axes of instances that no program had before."""
        if self._open is None:
            return
        room = _MAX_INSTANCES - len(self._axes)
        found = sorted(name for name in member.traits if name.startswith(_INSTANCE) and name not in self._met)[: max(0, room)]
        if found:
            self._axes += [Axis(name, self._open) for name in found]
            self._met.update(found)
            self._rows = np.pad(self._rows, ((0, 0), (0, len(found))), constant_values=-np.inf)

    def _drop(self, indices: np.ndarray) -> None:
        """Moves members from the front to the reserve."""
        gone = [self._front[i] for i in indices]
        for i in sorted(indices.tolist(), reverse=True):
            del self._front[i]
        self._rows = np.delete(self._rows, indices, axis=0)
        self._demote(gone)

    def _demote(self, members: Sequence[Member]) -> None:
        """Puts members into the reserve, and forgets those who leave it."""
        for member in members:
            lost = self._reserve.put(member)
            if lost is not None:
                self._kept.remove(lost)
                del self._children[lost.program_id]

    def _most_crowded(self) -> int:
        """Finds who goes out: the least lonely, of those the worst, never the one of the best fitness."""
        best = min(range(len(self._front)), key=lambda i: best_first(self._front[i]))
        distances = crowding_distances(self._rows)
        others = [i for i in range(len(self._front)) if i != best]
        others.sort(key=lambda i: best_first(self._front[i]), reverse=True)
        return min(others, key=lambda i: float(distances[i]))

    def _from_front(self, rng: np.random.Generator) -> int | None:
        """Draws from the front by what it is best at; None leaves the choice to the objective."""
        # A front of one program says nothing: always taking it would be to climb from the best.
        if len(self._front) == 1 or rng.random() < self._config.objective_share:
            return None
        instances = [1 + i for i, axis in enumerate(self._axes) if axis.trait.startswith(_INSTANCE)]
        if not instances or (len(instances) < len(self._axes) and rng.random() < 0.5):
            return self._loneliest(rng.integers(len(self._front), size=2))
        weights = wins(self._rows[:, instances]).astype(float)
        if not weights.any():
            return None
        return int(rng.choice(len(weights), p=weights / weights.sum()))

    def _loneliest(self, rivals: np.ndarray) -> int:
        """Settles a tournament: the least crowded of the rivals."""
        distances = crowding_distances(self._rows)
        return int(rivals[np.argmax(distances[rivals])])

    def _better_elsewhere(self, parent: Member) -> list[Member]:
        """Orders members of the front by the axes on which they beat a parent, those that beat it on most first."""
        counts = (self._rows > self._row(parent)).sum(axis=1)
        ahead = np.argsort(-counts, kind="stable")[: self._config.n_inspirations + 2]
        return [self._front[i] for i in ahead if counts[i] > 0]
