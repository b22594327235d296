"""Chances that do not change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evolve.bandits.arms import MixedBandit


class Fixed(MixedBandit):
    """Draws arms in proportion to fixed weights, whatever they earn; without weights, alike."""

    def __init__(self, arms: Sequence[str], weights: Mapping[str, float], *, prior_cost_usd: float | None = None) -> None:
        """Starts with no pulls.

        Args:
            arms: Distinct names.
            weights: Per arm, >= 0; an arm left out has weight 1.
            prior_cost_usd: Expected cost of an arm that was never pulled; None takes the mean of the others'.

        Raises:
            ValueError: If ``arms`` is empty or names one twice, or a weight is negative, of no arm, or all are 0.
        """
        super().__init__(arms, prior_cost_usd=prior_cost_usd)
        for arm, weight in weights.items():
            self._index(arm)
            if not 0 <= weight < math.inf:
                raise ValueError(f"weights must be finite and >= 0, got {weight} for arm {arm!r}")
        self._weights = np.array([float(weights.get(arm, 1.0)) for arm in arms])
        if not self._weights.any():
            raise ValueError("weights must leave an arm above 0, got 0 for every arm")

    def _learn(self, index: int, reward: float) -> None:
        """Nothing: that is the point."""

    def _chances(self, in_flight: np.ndarray, available: list[int]) -> np.ndarray:
        weights: np.ndarray = self._weights[available]
        if not weights.any():
            names = ", ".join(self._arms[index] for index in available)
            raise ValueError(f"no available arm has a weight above 0: of {names}, give one a weight or make another available")
        return weights
