"""How a parent is chosen among the members of one island."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evolve.archive.population import Member


class ParentChoice(Protocol):
    """Chooses which member of an island to change next.

    A choice is a pure function of its arguments: it keeps no state, and all chance comes from the generator.
    """

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator) -> int:
        """Returns the index of the parent.

        Args:
            members: The island's members, best first, at least one; fitness may be negative, and any may tie.
            children: ``(n_members,)`` finished steps that started from each of them.
            rng: The only source of chance.

        Raises:
            LookupError: If there are no members.
        """
        ...


@dataclass(frozen=True, slots=True)
class RankWeightedConfig:
    """How strongly rank and offspring decide.

    Attributes:
        pressure: Exponent of the rank: 0 chooses uniformly, larger values prefer the best more.
        offspring_discount: Exponent of the number of children: 0 ignores it, larger values spread the work more.
    """

    pressure: float = 2.0
    offspring_discount: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.pressure <= 100:
            raise ValueError(f"pressure must lie in [0, 100], got {self.pressure}")
        if not 0 <= self.offspring_discount <= 100:
            raise ValueError(f"offspring_discount must lie in [0, 100], got {self.offspring_discount}")


def tied_ranks(fitness: np.ndarray) -> np.ndarray:
    """Ranks values that are sorted best first; equal ones share the mean of their ranks.

    Args:
        fitness: ``(n,)`` values, largest first.

    Returns:
        ``(n,)`` ranks, 1 for a single best.
    """
    edges = np.flatnonzero(np.diff(fitness)) + 1
    starts = np.concatenate(([0], edges))
    ends = np.concatenate((edges, [len(fitness)]))
    mean_rank: np.ndarray = np.repeat((starts + ends + 1) / 2, ends - starts)
    return mean_rank


def parent_weights(fitness: np.ndarray, children: np.ndarray, pressure: float, offspring_discount: float) -> np.ndarray:
    """Computes how likely each member is to be chosen.

    Only the order of fitness counts, so objectives may be negative, tiny or huge. The weight is
    ``rank**-pressure * (1 + children)**-offspring_discount``.

    Source: ranks instead of values, Baker 1985 ("Adaptive selection methods for genetic algorithms") and Whitley 1989;
    power law of the rank and division by ``1 + children``, Lange et al. 2025 (ShinkaEvolve, arXiv:2509.19349), where they
    are two separate rules and the second goes with a sigmoid of the score. The exponent of the second is ours.

    Args:
        fitness: ``(n,)`` values, largest first.
        children: ``(n,)`` finished steps that started from each.
        pressure: Exponent of the rank.
        offspring_discount: Exponent of the number of children.

    Returns:
        ``(n,)`` probabilities.
    """
    # In logarithms: the largest weight is 1 before normalising, so that no exponent can make the sum 0.
    logs = -pressure * np.log(tied_ranks(fitness)) - offspring_discount * np.log1p(children)
    weights = np.exp(logs - logs.max())
    probabilities: np.ndarray = weights / weights.sum()
    return probabilities


class RankWeighted:
    """Prefers high ranks and few children (see `parent_weights`)."""

    def __init__(self, config: RankWeightedConfig) -> None:
        self._config = config

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator) -> int:
        if not members:
            raise LookupError("cannot choose a parent: the island has no members")
        fitness = np.fromiter((member.fitness for member in members), float, len(members))
        weights = parent_weights(fitness, children, self._config.pressure, self._config.offspring_discount)
        # The last bound can fall short of 1 by rounding, hence the minimum.
        return min(int(np.searchsorted(np.cumsum(weights), rng.random(), side="right")), len(members) - 1)
