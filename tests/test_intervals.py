import math

import pytest

from evolve.intervals import interval_of, mean_interval
from evolve.program import Evaluation, Outcome


def test_the_interval_of_a_noisy_mean_is_students():
    # 0.975 quantiles: 2.776 with 4 degrees of freedom, 1.960 of the normal distribution.
    assert mean_interval(1.0, 0.1, 5).high == pytest.approx(1.2776, abs=1e-4)
    assert mean_interval(1.0, 0.1, 0).low == pytest.approx(1 - 0.1960, abs=1e-4)
    assert not math.isinf(mean_interval(1.0, 0.1, 2).high)


def test_a_program_that_was_measured_once_has_no_interval():
    assert interval_of(Evaluation(Outcome.OK, 1.0)) is None
    assert interval_of(Evaluation(Outcome.CRASHED)) is None


def test_the_interval_lies_around_the_objective():
    # Two values: 0.975 quantile with 1 degree of freedom is 12.706.
    interval = interval_of(Evaluation(Outcome.OK, 3.0, values=(2.0, 4.0), standard_error=1.0, verified=True))
    assert interval == pytest.approx((3.0, 3.0 - 12.706, 3.0 + 12.706), abs=1e-3)


def test_where_the_worse_of_two_scores_counts_the_interval_lies_around_their_mean():
    interval = interval_of(Evaluation(Outcome.OK, 2.0, values=(2.0, 4.0), standard_error=1.0, verified=False))
    assert interval.value == 3.0
