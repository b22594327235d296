"""P-values of paired differences, and their correction where several are looked at."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

#: Up to so many pairs every flip of signs is tried: 4096 of them.
MOST_ENUMERATED = 12
#: Sums that differ by less than rounding does are ties.
_ROUNDING = 1e-12


def smallest_p(n: int) -> float:
    """Returns the smallest two-sided p-value that n pairs can give, all of them pointing one way: 2 / 2^n."""
    return min(1.0, 2.0 ** (1 - n))


def sign_flip_p(differences: Sequence[float]) -> float:
    """Tests exactly whether paired differences are as likely one way as the other.

    The share of all 2^n ways to set the differences' signs whose sum is at least as far from 0 as theirs. Differences of 0
    flip to themselves and carry no weight.

    Source: Fisher 1935, section 21; Pitman 1937.

    Args:
        differences: ``(n,)`` up to `MOST_ENUMERATED` of them that are not 0.

    Raises:
        ValueError: If there are more.
    """
    sizes = np.abs(np.array([value for value in differences if value != 0], dtype=float))
    if not sizes.size:
        return 1.0
    if sizes.size > MOST_ENUMERATED:
        raise ValueError(f"at most {MOST_ENUMERATED} differences are enumerated, got {sizes.size}")
    scaled = np.array([value for value in differences if value != 0], dtype=float) / sizes.max()
    signs = 1 - 2 * ((np.arange(2**sizes.size)[:, None] >> np.arange(sizes.size)) & 1)
    sums = np.abs(signs @ np.abs(scaled))
    return float(np.mean(sums >= abs(scaled.sum()) - _ROUNDING * sizes.size))


def wilcoxon_p(differences: Sequence[float]) -> float:
    """Tests by signed ranks whether paired differences are as likely one way as the other.

    Source: Wilcoxon 1945; differences of 0 are ranked with the others and then left out (Pratt 1959).
    """
    from scipy.stats import wilcoxon  # half a second to import, and only needed for many seeds

    values = np.asarray(differences, dtype=float)
    if not values.any():
        return 1.0
    tied = not values.all() or len(set(np.abs(values).tolist())) < len(values)
    found = wilcoxon(values, zero_method="pratt", method="approx" if tied else "auto")
    return float(found.pvalue)


def student_p(differences: Sequence[float], against: float = 0.0) -> float:
    """Tests whether paired differences have a given mean; two-sided.

    It is below 0.05 exactly where the 95 % interval of `evolve.intervals.mean_interval` leaves ``against`` out. Unlike the tests by
    signs and ranks it supposes that differences are normally distributed, and for that a few pairs can be worth a small p-value.

    Source: Student 1908.

    Args:
        differences: ``(n,)`` two or more finite values. If all are the same, nothing speaks for any other mean.
        against: The mean that is tested.

    Raises:
        ValueError: If there are fewer than two.
    """
    if len(differences) < 2:
        raise ValueError(f"a t test needs at least 2 differences, got {len(differences)}")
    from scipy.stats import t  # half a second to import, and only needed where differences are tested

    distance = abs(statistics.mean(differences) - against)
    spread = statistics.stdev(differences)
    if spread == 0:
        return float(distance == 0)
    return float(2 * t.sf(distance * math.sqrt(len(differences)) / spread, len(differences) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts the p-values of several tests so that the chance of any false alarm stays below the level they are held to.

    Source: Holm 1979.

    Returns:
        Adjusted p-values in the order given.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
