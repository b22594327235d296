"""Statistics of repeated measurements."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """Returns the arithmetic mean, summed without rounding, so that the order of the values does not matter.

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        raise ValueError("the mean of no values is not defined")
    return math.fsum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """Estimates the standard deviation of the mean of independent values: s / sqrt(n), with n - 1 in the variance.

    Returns:
        None for fewer than two values, which say nothing of their spread.
    """
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
