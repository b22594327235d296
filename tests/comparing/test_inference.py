import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.comparing.inference import (
    compare_pairs,
    median,
    median_interval,
    superiority,
    widest_coverage,
)

numbers = st.floats(-1e308, 1e308, allow_nan=False)


@given(st.lists(numbers, min_size=1, max_size=9))
def test_the_interval_holds_the_median_and_stays_within_the_values(values):
    found = median_interval(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9))
def test_the_median_is_that_of_numpy(values):
    assert median(values) == np.median(values)


def test_an_interval_is_the_same_every_time():
    values = [0.3, 0.1, 0.7, 0.2, 0.9, 0.4, 0.5, 0.8]
    assert median_interval(values) == median_interval(list(reversed(values)))


def test_the_interval_of_three_values_is_all_of_their_range():
    # A resample has the lowest value as its median when it holds it twice or more: 7 / 27 of them, far more than 2.5 %.
    assert median_interval([2.0, 1.0, 4.0]) == (2.0, 1.0, 4.0)


def test_the_interval_of_nine_values_leaves_out_the_extremes():
    # The median of a resample is the lowest of nine values with probability P(Binomial(9, 1/9) >= 5) = 0.0014.
    found = median_interval(list(range(9)))
    assert 0 < found.low < 4 < found.high < 8


def test_no_values_have_no_median():
    with pytest.raises(ValueError, match="no values"):
        median_interval([])


def test_the_range_of_few_values_covers_only_so_much():
    assert [widest_coverage(n) for n in (1, 3, 5, 6)] == [0.0, 0.75, 0.9375, 0.96875]


def test_ties_count_half():
    assert superiority([1.0, -2.0, 0.0, 3.0]) == 2.5 / 4


def test_all_pairs_are_tested_and_corrected_together():
    values = {"a": [3.0, 4.0, 5.0], "b": [1.0, 2.0, 3.0], "c": [1.0, 2.0, 3.0]}
    ab, ac, bc = compare_pairs(values, 1.0)
    assert (ab.first, ab.second, ac.second, bc.first) == ("a", "b", "c", "b")
    assert (ab.difference.value, ab.superiority, ab.p, ab.adjusted) == (2.0, 1.0, 0.25, 0.75)
    assert (bc.difference.value, bc.superiority, bc.p, bc.adjusted) == (0.0, 0.5, 1.0, 1.0)


def test_where_less_is_better_the_lower_values_win():
    [test] = compare_pairs({"a": [3.0, 4.0], "b": [1.0, 5.0]}, -1.0)
    assert (test.difference.value, test.superiority) == (0.5, 0.5)
    [test] = compare_pairs({"a": [3.0, 4.0], "b": [4.0, 5.0]}, -1.0)
    assert (test.difference.value, test.superiority) == (-1.0, 1.0)


def test_many_seeds_are_tested_by_ranks():
    [test] = compare_pairs({"a": [float(k) for k in range(13)], "b": [k / 2 - 1 for k in range(13)]}, 1.0)
    assert test.method.startswith("Wilcoxon")


def test_pairs_need_as_many_values_of_each():
    with pytest.raises(ValueError, match="as many values"):
        compare_pairs({"a": [1.0], "b": [1.0, 2.0]}, 1.0)
