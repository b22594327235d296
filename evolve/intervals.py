"""Where the mean of repeated measurements may lie."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from evolve.program import Evaluation

#: Of intervals.
LEVEL = 0.95


class Interval(NamedTuple):
    """A value and where it may lie."""

    value: float
    low: float
    high: float


def mean_interval(mean: float, standard_error: float, n_values: int) -> Interval:
    """Puts an interval at `LEVEL` around the mean of repeated measurements.

    It is Student's with ``n_values - 1`` degrees of freedom, or the normal one when it is not known how many there were. It
    says nothing of having been picked: the best of many noisy programs is on average worse than it looks.

    Source: Student 1908.

    Args:
        mean: Of the values.
        standard_error: Of that mean.
        n_values: How many there were; 0 or 1 when that is not known.
    """
    from scipy.stats import norm, t  # half a second to import, and only needed for noisy tasks

    upper = (1 + LEVEL) / 2
    factor = float(t.ppf(upper, n_values - 1)) if n_values > 1 else float(norm.ppf(upper))
    return Interval(mean, mean - factor * standard_error, mean + factor * standard_error)


def interval_of(evaluation: Evaluation) -> Interval | None:
    """Puts an interval around an evaluation's objective, or around its mean where the objective is the worse of two scores.

    Returns:
        None of one that was measured once, or that failed.
    """
    if evaluation.objective is None or evaluation.standard_error is None:
        return None
    # Of scores that disagree the worse one counts, which is no mean.
    centre = float(statistics.mean(evaluation.values)) if evaluation.verified is False else evaluation.objective
    return mean_interval(centre, evaluation.standard_error, len(evaluation.values))
