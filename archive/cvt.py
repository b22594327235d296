"""MAP-Elites on a Voronoi tessellation: cells are as many for two traits as for twenty (see `evolve.archive.cells`).

Source: centroidal Voronoi tessellations, Vassiliades, Chatzilygeroudis & Mouret 2018 (arXiv:1610.05729). Theirs come from
samples drawn uniformly within given bounds. Nobody knows the bounds of a program's traits, so ours are drawn around the
first programs of the run.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.archive.cells import Cell, CellElites, Room, trait_rows
from evolve.archive.population import Member
from evolve.archive.selection import ParentChoice
from evolve.archive.traits import check_traits
from evolve.rng import derived_seed, generator

#: Points per cell that the centroids are fitted to: enough that they spread out, few enough for a few ten milliseconds.
_POINTS_PER_CELL = 20

#: Instances that ``instance:*`` may stand for; more would make every settled program dear.
_MAX_INSTANCES = 200


@dataclass(frozen=True, slots=True)
class CvtConfig:
    """How the space of traits is divided around centroids.

    Attributes:
        traits: What programs are placed by (`evolve.archive.traits`); ``instance:*`` stands for the instances that the first
            members were scored on.
        n_cells: Centroids, each with the programs that are nearest to it.
        warm_up: Members that centroids are fitted to; they are fixed from then on.
        n_inspirations: Programs shown beside the parent: the best, some of near cells, and others by chance.
    """

    traits: tuple[str, ...] = ("complexity", "size", "nesting")
    n_cells: int = 50
    warm_up: int = 30
    n_inspirations: int = 3

    def __post_init__(self) -> None:
        check_traits(self.traits, "cvt.traits")
        if not self.traits or len(set(self.traits)) < len(self.traits):
            raise ValueError(f"traits must name at least one, each once, got {list(self.traits)}")
        for name in ("n_cells", "warm_up"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.n_inspirations < 0:
            raise ValueError(f"n_inspirations must be >= 0, got {self.n_inspirations}")


def fit_centroids(rows: np.ndarray, n_cells: int) -> np.ndarray:
    """Fits centroids by k-means to points drawn around programs.

    Args:
        rows: ``(n_programs, n_traits)`` standardised traits, no NaN.
        n_cells: How many.

    Returns:
        ``(n_cells, n_traits)``, the same for the same rows on any number of processors.
    """
    from sklearn.cluster import KMeans  # costs a second that most runs need not pay
    from threadpoolctl import threadpool_limits

    rng = generator(0, 0, "cvt/points")
    centers = rows[np.arange(n_cells * _POINTS_PER_CELL) % len(rows)]
    # A standard deviation around what was seen: cells beyond it, and as many as asked for when all programs are alike.
    points = centers + rng.standard_normal(centers.shape)
    means = KMeans(n_cells, n_init=1, random_state=derived_seed(0, 0, "cvt/centroids"))
    with threadpool_limits(1):  # several threads add in another order, and round differently
        centroids: np.ndarray = means.fit(points).cluster_centers_
    return centroids


class Voronoi:
    """A `Division` by the nearest centroid; a program that lacks traits is placed by those that it has."""

    def __init__(self, traits: Sequence[str], first: Sequence[Member], n_cells: int) -> None:
        """Fits the centroids.

        Args:
            traits: Their names.
            first: Programs to learn from, at least one. A trait that some lack is taken at its median for them, and one that
                all lack separates no programs.
            n_cells: How many centroids.
        """
        rows = trait_rows(first, traits)
        unseen = np.isnan(rows).all(axis=0)
        rows[:, unseen] = 0.0
        rows = np.where(np.isnan(rows), np.nanmedian(rows, axis=0), rows)
        self._traits = tuple(name for name, none in zip(traits, unseen, strict=True) if not none)
        rows = rows[:, ~unseen]
        self._mean = rows.mean(axis=0)
        spread = rows.std(axis=0)
        # Of a trait that never differed, a step as large as itself is a large one.
        size = np.where(self._mean == 0, 1.0, np.abs(self._mean))
        self._scale = np.where(spread > 1e-9 * size, spread, size)
        self._centroids = fit_centroids((rows - self._mean) / self._scale, n_cells) if self._traits else np.zeros((1, 0))

    def cell(self, member: Member) -> Cell:
        row = (trait_rows([member], self._traits)[0] - self._mean) / self._scale
        distances = np.nansum(np.square(self._centroids - row), axis=1)
        return (int(np.argmin(distances)),)

    def positions(self, cells: Sequence[Cell]) -> np.ndarray:
        return self._centroids[[index for (index,) in cells]]


def expanded(traits: Sequence[str], members: Sequence[Member]) -> list[str]:
    """Names the traits that ``instance:*`` stands for: the instances of some members, in the order of their names."""
    if "instance:*" not in traits:
        return list(traits)
    found = {name for member in members for name in member.traits if name.startswith("instance:")}
    named = [name for name in traits if name != "instance:*"]
    return named + list(itertools.islice(sorted(found.difference(named)), _MAX_INSTANCES))


class CvtMapElites(CellElites):
    """A `Population` that keeps the best program near every centroid."""

    def __init__(self, config: CvtConfig, parents: ParentChoice) -> None:
        def learn(first: Sequence[Member]) -> Voronoi:
            return Voronoi(expanded(config.traits, first), first, config.n_cells)

        room = Room(config.warm_up, config.n_cells, config.n_inspirations)
        super().__init__(frozenset(config.traits), room, learn, parents)
