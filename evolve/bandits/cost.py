"""The best choice that a budget allows.

Choosing arm *a* with chance p_a earns sum(p_a score_a) and costs sum(p_a cost_a). The best mixture that costs no more than
a given amount solves a linear programme with one constraint. Its dual has one number, the multiplier: the score that a dollar
is worth. At the optimum every arm in use maximises ``score - multiplier * cost``, and two arms are enough.

Sources: Badanidiyuru, Kleinberg & Slivkins 2013 (bandits with knapsacks); Agrawal & Devanur 2014 (an optimistic linear
programme at every step). Theirs takes lower confidence bounds of costs; mean costs are taken here, since the price of a
pull varies little against how rarely one pays off.
"""

from __future__ import annotations

import math
from operator import mul
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
    # Plain numbers: arrays of a few arms cost more to set up than to compute with.
    values, prices = _finite(scores).tolist(), costs.tolist()
    cheap = [arm for arm, price in enumerate(prices) if price <= usd_per_step]
    if not cheap:
        cheapest = pick_largest(-costs, rng)
        return Mixture(cheapest, cheapest, 0.0, math.inf)
    best = max(values[arm] for arm in cheap)
    pairs = [(arm, arm) for arm in cheap if values[arm] == best]
    for dear, price in enumerate(prices):
        if price <= usd_per_step or values[dear] < best:
            continue
        for arm in cheap:
            share = (usd_per_step - prices[arm]) / (price - prices[arm])
            value = values[arm] + share * (values[dear] - values[arm])
            if value > best:
                best, pairs = value, [(arm, dear)]
            elif value == best:
                pairs.append((arm, dear))
    arm, dear = pairs[0] if len(pairs) == 1 else pairs[int(rng.integers(len(pairs)))]
    return _mixture(arm, dear, values, prices, usd_per_step)


def _mixture(cheap: int, dear: int, values: list[float], prices: list[float], usd_per_step: float) -> Mixture:
    """Mixes two arms such that what may be spent is spent."""
    if cheap == dear:
        return Mixture(cheap, cheap, 0.0, 0.0)
    extra = prices[dear] - prices[cheap]
    return Mixture(cheap, dear, (usd_per_step - prices[cheap]) / extra, (values[dear] - values[cheap]) / extra)


def _finite(scores: np.ndarray) -> np.ndarray:
    """Replaces infinite scores by one that outweighs all finite ones, so that they can be mixed."""
    infinite = np.isposinf(scores)
    if not infinite.any():
        return scores
    known = scores[~infinite]
    return np.where(infinite, (known.max() if len(known) else 0.0) + 1e6, scores)


def pick_largest(values: np.ndarray, rng: np.random.Generator) -> int:
    """Picks the index of the largest value; ties are broken by chance."""
    best = (values == values.max()).nonzero()[0]
    return int(best[0] if len(best) == 1 else rng.choice(best))


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
    if float(chances @ costs) <= usd_per_step:
        return chances
    weights, prices = chances.tolist(), costs.tolist()
    least = min(price for price, weight in zip(prices, weights, strict=True) if weight > 0)
    # Arms without a chance may cost less than that: theirs must not overflow.
    extra = [max(price - least, 0.0) for price in prices]
    allowed = usd_per_step - least
    if allowed <= 0:
        return np.array(_tilted(weights, extra, math.inf).chances)
    return np.array(_tilted_to(weights, extra, allowed))


class _Tilted(NamedTuple):
    chances: list[float]
    mean: float
    variance: float


def _tilted(weights: list[float], extra: list[float], multiplier: float) -> _Tilted:
    """Gives the tilted chances, and mean and variance of what they cost beyond the cheapest."""
    tilted = [weight * math.exp(-multiplier * more) if more else weight for weight, more in zip(weights, extra, strict=True)]
    total = sum(tilted)
    chances = [weight / total for weight in tilted]
    mean = sum(map(mul, chances, extra))
    return _Tilted(chances, mean, sum(map(mul, map(mul, chances, extra), extra)) - mean * mean)


def _tilted_to(weights: list[float], extra: list[float], allowed: float) -> list[float]:
    """Finds the multiplier whose mean is allowed, to a thousandth and not above: Newton's steps, halved where they leave."""
    low, high = 0.0, math.inf
    multiplier = 0.0
    while True:
        tilted = _tilted(weights, extra, multiplier)
        if 0.999 * allowed <= tilted.mean <= allowed or high - low <= 1e-12 * high < math.inf:
            return tilted.chances
        low, high = (multiplier, high) if tilted.mean > allowed else (low, multiplier)
        step = (tilted.mean - 0.9995 * allowed) / tilted.variance if tilted.variance > 0 else math.inf
        multiplier += step
        if not low < multiplier < high:
            multiplier = (low + high) / 2 if high < math.inf else 2 * low + 1 / max(extra)
