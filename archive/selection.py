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

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator, exploration: float = 0.0) -> int:
        """Returns the index of the parent.

        Args:
            members: The island's members, best first, at least one; fitness may be negative, and any may tie.
            children: ``(n_members,)`` finished steps that started from each of them.
            rng: The only source of chance.
            exploration: How long the search has stood still, from 0 (it progresses) to 1 (see `evolve.progress`); the
                larger it is, the less fitness counts. Rules without such a notion may leave it out of account.

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

    pressure: float = 4.0
    offspring_discount: float = 2.0

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

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator, exploration: float = 0.0) -> int:
        fitness = _fitness(members)
        pressure = self._config.pressure * (1 - exploration)
        return _drawn(parent_weights(fitness, children, pressure, self._config.offspring_discount), rng)


@dataclass(frozen=True, slots=True)
class SigmoidConfig:
    """How sharply the better half of an island is preferred.

    Attributes:
        steepness: Of the sigmoid, per median absolute deviation of the fitness.
    """

    steepness: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.steepness <= 1000:
            raise ValueError(f"steepness must lie in [0, 1000], got {self.steepness}")


class SigmoidWeighted:
    """Prefers what is fitter than the median, and few children.

    The weight is ``sigmoid(steepness * (fitness - median) / mad) / (1 + children)``, ``mad`` being the median absolute deviation
    from the median. With the published steepness of 10 it is close to a step at the median: kept for comparison.

    Source: Lange et al. 2025 (ShinkaEvolve, arXiv:2509.19349); the scaling by ``mad`` is its code's.
    """

    def __init__(self, config: SigmoidConfig) -> None:
        self._config = config

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator, exploration: float = 0.0) -> int:
        fitness = _fitness(members)
        centred = fitness - np.median(fitness)
        scale = float(np.median(np.abs(centred)))
        # Where half of the island ties, any difference from the median is an outlier: its sign alone counts.
        units = np.sign(centred) if scale == 0 else np.clip(centred / scale, -1e6, 1e6)
        logs = -np.logaddexp(0, -self._config.steepness * units) - np.log1p(children)
        weights = np.exp(logs - logs.max())
        return _drawn(weights / weights.sum(), rng)


@dataclass(frozen=True, slots=True)
class TournamentConfig:
    """How many compete.

    Attributes:
        size: Members drawn at each choice, with replacement; the best of them is the parent.
    """

    size: int = 3

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be >= 1, got {self.size}")


class Tournament:
    """Draws a few members and takes the best; while the search stands still, fewer.

    Source: Goldberg & Deb 1991 ("A comparative analysis of selection schemes used in genetic algorithms").
    """

    def __init__(self, config: TournamentConfig) -> None:
        self._config = config

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator, exploration: float = 0.0) -> int:
        if not members:
            raise _nobody()
        size = max(1, round(self._config.size * (1 - exploration)))
        return int(rng.integers(len(members), size=size).min())


@dataclass(frozen=True, slots=True)
class BeamConfig:
    """How wide the beam is.

    Attributes:
        width: Best members that are worked on; the others are only kept.
    """

    width: int = 5

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be >= 1, got {self.width}")


class Beam:
    """Works on the best few alike: of these the one with the fewest children, the better of equals.

    Source: beam search, Lowerre 1976 (the HARPY speech recogniser). Chance has no part
    in it. ShinkaEvolve's rule of that name keeps one parent for a number of children and then goes to the best of all, which is
    a beam of width 1 with a delay.
    """

    def __init__(self, config: BeamConfig) -> None:
        self._config = config

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator, exploration: float = 0.0) -> int:
        if not members:
            raise _nobody()
        return int(np.argmin(children[: self._config.width]))


def _fitness(members: Sequence[Member]) -> np.ndarray:
    """Reads the members' fitness as ``(n,)``."""
    if not members:
        raise _nobody()
    return np.fromiter((member.fitness for member in members), float, len(members))


def _drawn(probabilities: np.ndarray, rng: np.random.Generator) -> int:
    """Draws an index."""
    # The last bound can fall short of 1 by rounding, hence the minimum.
    return min(int(np.searchsorted(np.cumsum(probabilities), rng.random(), side="right")), len(probabilities) - 1)


def _nobody() -> LookupError:
    return LookupError("cannot choose a parent: there are no members")
