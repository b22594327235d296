"""ShinkaEvolve's bandit, for comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolve.bandits.arms import MixedBandit

#: Its epsilon: the share of pulls that all arms but the best divide among themselves.
SHARED = 0.2
#: Its `cost_aware_coef`: how much cheapness weighs against the score.
CHEAPNESS = 0.5
#: How much of the range of costs an arm that was rarely paid for is thought cheaper by.
COST_BONUS = 0.1


class Asymmetric(MixedBandit):
    """Asymmetric UCB with a preference for cheap arms, as ShinkaEvolve has it by default.

    Source: ShinkaEvolve (Lange, Imajuku & Cetin 2025), `AsymmetricUCB` of its code, which says more than the paper. An arm's
    score is its faded mean of ``exp(reward) - 1`` over the largest one seen, plus ``exploration * sqrt(2 ln t / n)``, where
    n counts every pull begun and does not fade. Where arms cost something, the score is averaged with how cheap the arm is
    against the cheapest. Arms never pulled come first; then the best has 80 % of the pulls and the others share the rest.

    Its rewards are improvements in units of the objective; here they are ranks, as for all bandits. Its preference for cheap
    arms is kept, budget or not, since it is the method; a budget is kept besides, like that of every bandit.
    """

    def __init__(self, arms: Sequence[str], exploration: float, discount: float, *, prior_cost_usd: float | None = None) -> None:
        """Starts with no pulls.

        Args:
            arms: Distinct names.
            exploration: Weight of the confidence term; theirs is 1.
            discount: What is left of rewards after each update, in (0, 1]; theirs is 0.95.
            prior_cost_usd: Expected cost of an arm that was never pulled; None takes the mean of the others'.

        Raises:
            ValueError: If ``arms`` is empty or names one twice.
        """
        super().__init__(arms, prior_cost_usd=prior_cost_usd)
        self._exploration = exploration
        self._discount = discount
        self._sums = np.zeros(len(arms))
        self._counts = np.zeros(len(arms))
        self._largest = 0.0

    def _learn(self, index: int, reward: float) -> None:
        contribution = float(np.expm1(reward))
        self._sums[index] += contribution
        self._counts[index] += 1
        self._largest = max(self._largest, contribution)
        # Sums shrink faster the larger they are; so does the largest, but never below a mean.
        self._sums = self._discount * self._sums / (1 + (1 - self._discount) * self._sums)
        self._counts = self._discount * self._counts
        self._largest = self._discount * self._largest / (1 + (1 - self._discount) * self._largest)
        self._largest = max(self._largest, float(self._means().max()))

    def _means(self) -> np.ndarray:
        return self._sums / np.where(self._counts > 0, self._counts, 1.0)

    def _chances(self, in_flight: np.ndarray, available: list[int]) -> np.ndarray:
        begun = self._pulls + in_flight
        untried = begun[available] == 0
        if untried.any():
            return np.asarray(untried.astype(float))
        scores = self._scores(begun)[available]
        best = scores == scores.max()
        chances = np.where(best, (1 - SHARED) / best.sum(), 0.0)
        if not best.all():
            chances[~best] = SHARED / (~best).sum()
        return chances

    def _scores(self, begun: np.ndarray) -> np.ndarray:
        means = self._means() / self._largest if self._largest > 0 else self._means()
        # Arms that were never pulled and are not available have a score too; it is not looked at.
        scores = means + self._exploration * np.sqrt(2 * np.log(begun.sum()) / np.maximum(begun, 1))
        costs = self.mean_costs_usd()
        if not costs.any():
            return np.asarray(scores)
        paid = np.maximum(self._pulls, 1)
        bonus = COST_BONUS * (costs.max() - costs.min()) * np.sqrt(2 * np.log(max(paid.sum(), 2)) / paid)
        cheap = 1 / np.maximum(costs - bonus, 1e-7)
        return np.asarray((1 - CHEAPNESS) * scores + CHEAPNESS * cheap / cheap.max())
