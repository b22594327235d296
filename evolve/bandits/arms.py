"""What the built-in bandits share: arms, what their pulls cost, and a choice by scores or by chances."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import numpy as np

from evolve.bandits.base import Situation
from evolve.bandits.cost import best_mixture, pick_largest, within_budget


class ArmsBandit(ABC):
    """Keeps arms, finished pulls and costs; a subclass says how rewards are learnt and how an arm is picked."""

    def __init__(self, arms: Sequence[str], *, prior_cost_usd: float | None = None) -> None:
        """Starts with no pulls.

        Args:
            arms: Distinct names.
            prior_cost_usd: Expected cost of an arm that was never pulled; None takes the mean of the others' mean costs.

        Raises:
            ValueError: If ``arms`` is empty or names one twice.
        """
        if not arms or len(set(arms)) != len(arms):
            raise ValueError(f"arms must be distinct and at least one, got {list(arms)}")
        self._arms = list(arms)
        self._indices = {arm: index for index, arm in enumerate(arms)}
        self._prior_cost_usd = prior_cost_usd
        self._pulls = np.zeros(len(arms), dtype=int)
        self._cost_usd = np.zeros(len(arms))

    def choose(self, rng: np.random.Generator, situation: Situation = Situation()) -> str:
        in_flight = np.zeros(len(self._arms))
        for arm, count in situation.in_flight.items():
            in_flight[self._index(arm)] = count
        available = self._available(situation.available)
        return self._arms[available[self._pick(rng, in_flight, available, situation.usd_per_step)]]

    def update(self, arm: str, reward: float, cost_usd: float = 0.0) -> None:
        index = self._index(arm)
        if not 0 <= reward <= 1:
            raise ValueError(f"a reward lies in [0, 1], got {reward}")
        if not 0 <= cost_usd < math.inf:
            raise ValueError(f"cost_usd must be finite and >= 0, got {cost_usd}")
        self._learn(index, reward)
        self._pulls[index] += 1
        self._cost_usd[index] += cost_usd

    def pulls(self) -> dict[str, int]:
        return dict(zip(self._arms, self._pulls.tolist(), strict=True))

    def mean_costs_usd(self) -> np.ndarray:
        """Expected cost of a pull, per arm: the mean of its finished pulls, or the prior."""
        tried = self._pulls > 0
        means = self._cost_usd / np.maximum(self._pulls, 1)
        if tried.all():
            return np.asarray(means)
        prior = self._prior_cost_usd
        if prior is None:
            # With nothing known at all, every arm counts as free: something has to be pulled first.
            prior = float(means[tried].mean()) if tried.any() else 0.0
        return np.where(tried, means, prior)

    def _index(self, arm: str) -> int:
        if arm not in self._indices:
            raise ValueError(f"unknown arm {arm!r}; the arms are {', '.join(self._arms)}")
        return self._indices[arm]

    def _available(self, names: Collection[str] | None) -> list[int]:
        if names is None:
            return list(range(len(self._arms)))
        available = sorted(self._index(arm) for arm in names)
        if not available:
            raise ValueError(f"no arm is available: make one of {', '.join(self._arms)} available before choosing")
        return available

    @abstractmethod
    def _learn(self, index: int, reward: float) -> None:
        """Takes note of a reward; `pulls` does not hold this pull yet."""

    @abstractmethod
    def _pick(self, rng: np.random.Generator, in_flight: np.ndarray, available: list[int], usd_per_step: float | None) -> int:
        """Picks a position in ``available``, which is not empty."""


class ScoredBandit(ArmsBandit):
    """Pulls the arm of the largest score, or under a budget the best mixture; ties are broken by chance."""

    @abstractmethod
    def _scores(self, rng: np.random.Generator, in_flight: np.ndarray) -> np.ndarray:
        """Scores arms on the scale of rewards; infinity is an arm to be tried before all others.

        A pull in flight counts as one that brings what its arm brings on average: it makes the arm better known and not
        better (Desautels, Krause & Burdick 2014 do so for Gaussian processes).
        """

    def _pick(self, rng: np.random.Generator, in_flight: np.ndarray, available: list[int], usd_per_step: float | None) -> int:
        scores = self._scores(rng, in_flight)[available]
        if usd_per_step is not None:
            return best_mixture(scores, self.mean_costs_usd()[available], usd_per_step, rng).draw(rng)
        return pick_largest(scores, rng)


class MixedBandit(ArmsBandit):
    """Draws the arm from chances, under a budget from the nearest chances that keep it."""

    @abstractmethod
    def _chances(self, in_flight: np.ndarray, available: list[int]) -> np.ndarray:
        """Gives each available arm a weight >= 0, at least one of them above 0; chances are proportional to weights."""

    def _pick(self, rng: np.random.Generator, in_flight: np.ndarray, available: list[int], usd_per_step: float | None) -> int:
        weights = self._chances(in_flight, available)
        chances = weights / weights.sum()
        if usd_per_step is not None:
            chances = within_budget(chances, self.mean_costs_usd()[available], usd_per_step)
        # Bounds need not end at 1: a draw below 1 times the last one stays below it.
        bounds = chances.cumsum()
        return int(bounds.searchsorted(rng.random() * bounds[-1], side="right"))
