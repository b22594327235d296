"""Rewards and pulls that fade."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolve.bandits.arms import ScoredBandit

#: A pull that has faded to less is no pull: its mean would be that of rounding errors.
FORGOTTEN = 1e-9


class FadingBandit(ScoredBandit):
    """Keeps rewards and pulls per arm, which every update multiplies by the discount; a subclass scores arms by them."""

    def __init__(
        self, arms: Sequence[str], exploration: float, discount: float = 1.0, *, prior_cost_usd: float | None = None
    ) -> None:
        """Starts with no pulls.

        Args:
            arms: Distinct names.
            exploration: How much what is little known is preferred; the class says what 1 means.
            discount: What is left of a pull after each later one, in (0, 1]; 1 forgets nothing.
            prior_cost_usd: Expected cost of an arm that was never pulled; None takes the mean of the others'.

        Raises:
            ValueError: If ``arms`` is empty or names one twice.
        """
        super().__init__(arms, prior_cost_usd=prior_cost_usd)
        self._exploration = exploration
        self._discount = discount
        self._faded_rewards = np.zeros(len(arms))
        self._faded_pulls = np.zeros(len(arms))

    def _learn(self, index: int, reward: float) -> None:
        self._faded_rewards *= self._discount
        self._faded_pulls *= self._discount
        forgotten = self._faded_pulls < FORGOTTEN
        self._faded_rewards[forgotten] = self._faded_pulls[forgotten] = 0.0
        self._faded_rewards[index] += reward
        self._faded_pulls[index] += 1
