"""Exponential weights, for rewards that follow no law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolve.bandits.arms import MixedBandit


class Exp3(MixedBandit):
    """EXP3: chances grow exponentially with rewards, each divided by the chance it had of being seen.

    Source: Auer, Cesa-Bianchi, Freund & Schapire 2002, section 3; their gamma is ``exploration``. With a discount, log weights
    shrink towards 0 at every update, so that old rewards fade.

    **Which chance.** A fold over updates does not see the chance at which an arm was chosen. It is computed anew from the
    state before the update, without situation or budget. With one pull at a time this is the very chance of the choice. With
    many in flight it is that of some updates later, and budget and missing arms shift it too: the estimate is then biased.
    The bias is bounded, since a chance is at least ``exploration / n_arms``, and so is the change of an estimate.
    """

    def __init__(self, arms: Sequence[str], exploration: float, discount: float, *, prior_cost_usd: float | None = None) -> None:
        """Starts with no pulls.

        Args:
            arms: Distinct names.
            exploration: Share of pulls that is spread evenly, in (0, 1]; also how fast weights grow.
            discount: What is left of a log weight after each update, in (0, 1]; 1 forgets nothing.
            prior_cost_usd: Expected cost of an arm that was never pulled; None takes the mean of the others'.

        Raises:
            ValueError: If ``arms`` is empty or names one twice.
        """
        super().__init__(arms, prior_cost_usd=prior_cost_usd)
        self._exploration = exploration
        self._discount = discount
        self._log_weights = np.zeros(len(arms))

    def _learn(self, index: int, reward: float) -> None:
        estimate = reward / self._all_chances()[index]
        self._log_weights *= self._discount
        self._log_weights[index] += self._exploration / len(self._arms) * estimate

    def _chances(self, in_flight: np.ndarray, available: list[int]) -> np.ndarray:
        # Draws spread by themselves: pulls in flight change nothing.
        return np.asarray(self._all_chances()[available])

    def _all_chances(self) -> np.ndarray:
        weights = np.exp(self._log_weights - self._log_weights.max())
        return np.asarray((1 - self._exploration) * weights / weights.sum() + self._exploration / len(self._arms))
