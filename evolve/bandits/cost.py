"""The best choice that a budget allows.

Choosing arm *a* with chance p_a earns sum(p_a score_a) and costs sum(p_a cost_a). The best mixture that costs no more than
a given amount solves a linear programme with one constraint. Its dual has one number, the multiplier: the score that a dollar
is worth. At the optimum every arm in use maximises ``score - multiplier * cost``, and two arms are enough.

Sources: Badanidiyuru, Kleinberg & Slivkins 2013 (bandits with knapsacks); Agrawal & Devanur 2014 (an optimistic linear
programme at every step). Theirs takes lower confidence bounds of costs; mean costs are taken here, since the price of a
pull varies little against how rarely one pays off.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Mixture(NamedTuple):
    """Two arms that share a choice, or one twice.

    Attributes:
        cheap: Index of the arm that costs no more than what may be spent.
        dear: Index of the arm that costs more; the same as `cheap` where one arm is the best choice.
        dear_share: Chance of the dear arm.
        multiplier: What a dollar is worth in score; 0 where the budget does not bind, infinite where it cannot be kept.
    """

    cheap: int
    dear: int
    dear_share: float
    multiplier: float

    def draw(self, rng: np.random.Generator) -> int:
        """Draws one of the two arms."""
        return self.dear if rng.random() < self.dear_share else self.cheap


def best_mixture(scores: np.ndarray, costs: np.ndarray, usd_per_step: float, rng: np.random.Generator) -> Mixture:
    """Finds the mixture of arms with the largest expected score whose expected cost is within what may be spent.

    Args:
        scores: ``(n_arms,)``; infinity is an arm to be tried before all others, as often as the budget allows.
        costs: ``(n_arms,)`` expected dollars per pull, >= 0.
        usd_per_step: What a choice may cost on average. Where every arm costs more, the cheapest is taken.
        rng: Breaks ties.
    """
    cheap, dear = np.flatnonzero(costs <= usd_per_step), np.flatnonzero(costs > usd_per_step)
    if not len(cheap):
        cheapest = int(rng.choice(np.flatnonzero(costs == costs.min())))
        return Mixture(cheapest, cheapest, 0.0, np.inf)
    finite = _finite(scores)
    one = cheap[_pick_largest(finite[cheap], rng)]
    if not len(dear) or finite[dear].max() <= finite[one]:
        return Mixture(int(one), int(one), 0.0, 0.0)
    shares = (usd_per_step - costs[cheap, None]) / (costs[None, dear] - costs[cheap, None])
    values = finite[cheap, None] + shares * (finite[None, dear] - finite[cheap, None])
    row, column = divmod(_pick_largest(values.ravel(), rng), len(dear))
    a, b = int(cheap[row]), int(dear[column])
    # A cheap arm that beats the dear one alone would be `one`; of the pairs, the best one's slope is the multiplier.
    return Mixture(a, b, float(shares[row, column]), float((finite[b] - finite[a]) / (costs[b] - costs[a])))


def _finite(scores: np.ndarray) -> np.ndarray:
    """Replaces infinite scores by one that outweighs all finite ones, so that they can be mixed."""
    infinite = np.isposinf(scores)
    if not infinite.any():
        return scores
    known = scores[~infinite]
    return np.where(infinite, (known.max() if len(known) else 0.0) + 1e6, scores)


def _pick_largest(values: np.ndarray, rng: np.random.Generator) -> int:
    best = np.flatnonzero(values == values.max())
    return int(best[0]) if len(best) == 1 else int(rng.choice(best))


def within_budget(chances: np.ndarray, costs: np.ndarray, usd_per_step: float) -> np.ndarray:
    """Changes chances as little as possible so that the expected cost is within what may be spent.

    Least in relative entropy: the answer is ``chances * exp(-multiplier * costs)``, normalised, with the smallest multiplier
    >= 0 that keeps the budget (exponential tilting; Csiszar 1975). It is what `best_mixture` is for bandits that give chances
    instead of scores.

    Args:
        chances: ``(n_arms,)`` sums to 1.
        costs: ``(n_arms,)`` expected dollars per pull, >= 0.
        usd_per_step: What a choice may cost on average. Where every arm with a chance costs more, the cheapest are taken.
    """
    if chances @ costs <= usd_per_step:
        return chances
    extra = costs - costs[chances > 0].min()
    allowed = usd_per_step - costs[chances > 0].min()
    cheapest = np.where(extra <= 0, chances, 0.0)
    if allowed <= 0:
        return cheapest / cheapest.sum()
    low, high = 0.0, 1.0 / extra.max()
    while _tilted(chances, extra, high) @ extra > allowed:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _tilted(chances, extra, middle) @ extra > allowed else (low, middle)
    return _tilted(chances, extra, high)


def _tilted(chances: np.ndarray, extra: np.ndarray, multiplier: float) -> np.ndarray:
    # Arms without a chance may be cheaper than the cheapest with one: they must not overflow.
    weights = chances * np.exp(-multiplier * np.maximum(extra, 0.0))
    return np.asarray(weights / weights.sum())
