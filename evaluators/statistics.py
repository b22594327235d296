"""Statistics of repeated measurements.

A program may have a say in the values: whatever finite numbers they are, nothing here overflows.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """Returns the arithmetic mean, rounded once, so that the order of the values does not matter.

    Args:
        values: Finite numbers.

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        raise ValueError("the mean of no values is not defined")
    return float(statistics.mean(values))


def standard_error(values: Sequence[float]) -> float | None:
    """Estimates the standard deviation of the mean of independent values: s / sqrt(n), with n - 1 in the variance.

    Source: JCGM 100:2008 (Guide to the Expression of Uncertainty in Measurement), 4.2.2 and 4.2.3.

    Args:
        values: Finite numbers.

    Returns:
        None for fewer than two values, which say nothing of their spread.
    """
    if len(values) < 2:
        return None
    # Scaled by a power of two, which changes no digit: the standard deviation of two huge values may be no float.
    exponent = max(math.frexp(value)[1] for value in values)
    scaled = [math.ldexp(value, -exponent) for value in values]
    return math.ldexp(statistics.stdev(scaled) / math.sqrt(len(values)), exponent)
