"""MAP-Elites on a grid: every trait is cut into bins (see `evolve.archive.cells`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evolve.archive.cells import Cell, CellElites, Room, trait_rows
from evolve.archive.population import Member
from evolve.archive.selection import ParentChoice
from evolve.archive.traits import check_traits

#: Bounds are learnt from what lies between these quantiles, and widened by this share of it on both sides: a search leaves
#: the neighbourhood that it began in.
_QUANTILES = (0.05, 0.95)
_MARGIN = 0.5

#: The bin of programs that lack a trait, beside the numbered ones.
_LACKING = -1


@dataclass(frozen=True, slots=True)
class GridConfig:
    """How the space of traits is cut into a grid.

    Attributes:
        traits: What programs are placed by (`evolve.archive.traits`).
        bins: Equal intervals per trait; what lies outside the bounds falls into the first or the last one.
        bounds: Smallest and largest value by trait; those left out are learnt.
        warm_up: Members that bounds are learnt from; they are fixed from then on. Not used where all bounds are given.
        capacity: Cells kept; the one whose program is worst goes out.
        n_inspirations: Programs shown beside the parent: the best, some of near cells, and others by chance.
    """

    traits: tuple[str, ...] = ("complexity", "size")
    bins: int = 10
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    warm_up: int = 30
    capacity: int = 200
    n_inspirations: int = 3

    def __post_init__(self) -> None:
        check_traits(self.traits, "grid.traits")
        if not self.traits or len(set(self.traits)) < len(self.traits):
            raise ValueError(f"traits must name at least one, each once, got {list(self.traits)}")
        if "instance:*" in self.traits:
            raise ValueError("traits of a grid are named one by one, got 'instance:*'; write instance:NAME, or use CVT")
        for name in ("bins", "warm_up", "capacity"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.n_inspirations < 0:
            raise ValueError(f"n_inspirations must be >= 0, got {self.n_inspirations}")
        for name, bounds in self.bounds.items():
            if name not in self.traits:
                raise ValueError(f"bounds: {name!r} is not among the traits {list(self.traits)}")
            if len(bounds) != 2 or not -math.inf < bounds[0] < bounds[1] < math.inf:
                raise ValueError(f"bounds: {name} must be two numbers, the smaller one first, got {list(bounds)}")


def learnt_bounds(values: np.ndarray) -> tuple[float, float]:
    """Finds bounds that leave room on both sides of what was seen.

    Args:
        values: ``(n,)`` values of one trait, NaN where a program lacks it.

    Returns:
        Its quantiles 0.05 and 0.95, half of their distance farther out; where they coincide, the value itself, or 1 if that
        is 0, serves as the distance. ``(0, 1)`` without any value.
    """
    seen = values[~np.isnan(values)]
    if not len(seen):
        return 0.0, 1.0
    low, high = (float(bound) for bound in np.quantile(seen, _QUANTILES))
    span = high - low or abs(low) or 1.0
    return low - _MARGIN * span, high + _MARGIN * span


class Grid:
    """A `Division` into ``bins`` equal intervals per trait.

    A program that lacks a trait has a bin of its own there, so that it is placed by the others and competes with programs
    that lack the same; it counts as lying in the middle.
    """

    def __init__(self, traits: Sequence[str], bins: int, bounds: Sequence[tuple[float, float]]) -> None:
        """Cuts the space.

        Args:
            traits: Their names.
            bins: Intervals per trait.
            bounds: Smallest and largest value of each trait.
        """
        self._traits = tuple(traits)
        self._middle = (bins - 1) / 2
        self._edges = [np.linspace(low, high, bins + 1)[1:-1] for low, high in bounds]

    def cell(self, member: Member) -> Cell:
        values = (member.traits.get(name) for name in self._traits)
        return tuple(
            _LACKING if value is None else int(np.searchsorted(edges, value, side="right"))
            for value, edges in zip(values, self._edges, strict=True)
        )

    def positions(self, cells: Sequence[Cell]) -> np.ndarray:
        bins = np.array(cells, dtype=float).reshape(len(cells), len(self._traits))
        return np.where(bins == _LACKING, self._middle, bins)


class MapElites(CellElites):
    """A `Population` that keeps the best program of every cell of a grid."""

    def __init__(self, config: GridConfig, parents: ParentChoice) -> None:
        def learn(first: Sequence[Member]) -> Grid:
            rows = trait_rows(first, config.traits)
            bounds = [config.bounds.get(name) or learnt_bounds(rows[:, i]) for i, name in enumerate(config.traits)]
            return Grid(config.traits, config.bins, bounds)

        warm_up = 0 if set(config.traits) <= set(config.bounds) else config.warm_up
        super().__init__(frozenset(config.traits), Room(warm_up, config.capacity, config.n_inspirations), learn, parents)
