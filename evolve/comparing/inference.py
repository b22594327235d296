"""Statistics of few, paired values: what several seeds say of a strategy, and of two.

Runs with the same seed are a pair. Nothing here assumes a distribution, and nothing hides how little a few seeds can show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from evolve.intervals import LEVEL, Interval
from evolve.rng import generator
from evolve.significance import MOST_ENUMERATED, holm, sign_flip_p, wilcoxon_p

_RESAMPLES = 10_000


class PairTest(NamedTuple):
    """What the runs of two strategies with the same seeds say of each other.

    Attributes:
        first, second: The strategies' labels.
        n: Pairs.
        difference: Median over pairs of first minus second, in the objective's unit, with its interval.
        superiority: Share of pairs in which the first is better, ties counted half; 0.5 says nothing.
        method: How ``p`` was found.
        p: Two-sided p-value of the hypothesis that differences are as likely one way as the other; 1 when all are 0.
        adjusted: The same after Holm's correction over all pairs of strategies that were tested together.
    """

    first: str
    second: str
    n: int
    difference: Interval
    superiority: float
    method: str
    p: float
    adjusted: float


def median_interval(values: Sequence[float]) -> Interval:
    """Bootstraps the median: percentile interval at `LEVEL`, from a generator of its own, the same every time.

    It never reaches beyond the lowest and the highest value, which for few values it mostly equals: see `widest_coverage`.

    Source: Efron 1979; percentile intervals as in Efron & Tibshirani 1993, chapter 13.

    Args:
        values: One or more finite values, one per seed.

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        raise ValueError("the median of no values is not defined")
    ordered = np.sort(np.asarray(values, dtype=float))
    picks = generator(0, 0, "bootstrap of the median").integers(len(ordered), size=(_RESAMPLES, len(ordered)))
    medians = _medians(np.sort(picks, axis=1), ordered)
    tail = (1 - LEVEL) / 2
    # Order statistics, not points between them: with few values, what lies between is nothing that was measured.
    low, high = np.quantile(medians, [tail, 1 - tail], method="inverted_cdf")
    return Interval(median(values), float(low), float(high))


def median(values: Sequence[float]) -> float:
    """Returns the middle value, or halfway between the two middle ones."""
    ordered = np.sort(np.asarray(values, dtype=float))
    return float(_medians(np.arange(len(ordered))[None], ordered)[0])


def _medians(picks: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Takes ``(r, n)`` sorted places in ``(n,)`` sorted values to the ``(r,)`` medians."""
    n = len(ordered)
    below, above = ordered[picks[:, (n - 1) // 2]], ordered[picks[:, n // 2]]
    # Halved first: the sum of two finite numbers may be none.
    medians: np.ndarray = np.where(below == above, below, below / 2 + above / 2)
    return medians


def widest_coverage(n: int) -> float:
    """Says how surely the range from the lowest to the highest of n values holds the median of what they are drawn from.

    No interval within that range can be surer, whatever it is called: 0.75 for 3 values, 0.9375 for 5.

    Source: order statistics, as in Conover 1999, section 3.2.
    """
    return 1 - 2.0 ** (1 - n)


def superiority(gains: Sequence[float]) -> float:
    """Returns the share of pairs with a gain, ties counted half.

    Source: Vargha & Delaney 2000, measure A, over pairs of one seed in place of all pairs.
    """
    return sum(0.5 if gain == 0 else float(gain > 0) for gain in gains) / len(gains)


def compare_pairs(values: Mapping[str, Sequence[float]], sign: float) -> list[PairTest]:
    """Tests every strategy against every other, in the order given.

    Args:
        values: By strategy, one objective per seed, in the order of the seeds.
        sign: 1 when more is better, -1 when less is.

    Raises:
        ValueError: If strategies have different numbers of values.
    """
    if len({len(column) for column in values.values()}) > 1:
        raise ValueError(f"pairs need as many values of each: got { ({label: len(column) for label, column in values.items()}) }")
    pairs = list(combinations(values, 2))
    differences = [[a - b for a, b in zip(values[first], values[second], strict=True)] for first, second in pairs]
    tested = [paired_test(gaps) for gaps in differences]
    adjusted = holm([test.p for test in tested])
    return [
        PairTest(
            first,
            second,
            len(gaps),
            median_interval(gaps),
            superiority([sign * gap for gap in gaps]),
            test.method,
            test.p,
            corrected,
        )
        for (first, second), gaps, test, corrected in zip(pairs, differences, tested, adjusted, strict=True)
    ]


class Tested(NamedTuple):
    """A two-sided p-value, and how it was found."""

    method: str
    p: float


def paired_test(differences: Sequence[float]) -> Tested:
    """Tests whether paired differences are as likely one way as the other, by the test that suits their number."""
    if len(differences) <= MOST_ENUMERATED:
        return Tested("sign-flip permutation, exact", sign_flip_p(differences))
    return Tested("Wilcoxon signed-rank", wilcoxon_p(differences))
