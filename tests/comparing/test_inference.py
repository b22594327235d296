import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.comparing.inference import (
    MOST_ENUMERATED,
    compare_pairs,
    holm,
    median,
    median_interval,
    sign_flip_p,
    smallest_p,
    superiority,
    widest_coverage,
    wilcoxon_p,
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


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0], 1.0),
        ([1.0, 2.0, 3.0], 2 / 8),
        # |sum| >= 2 of 1, 2, -1: sums are 4, 2, 0, 2 and their opposites.
        ([1.0, 2.0, -1.0], 6 / 8),
        ([-1.0, -2.0, -3.0, -4.0, -5.0], 2 / 32),
        # A difference of 0 flips to itself and carries no weight.
        ([0.0, 1.0, 2.0, 3.0], 2 / 8),
        ([0.0, 0.0], 1.0),
        # Equal sizes: at least 4 of 5 the same way, 2 * (5 + 1) of 32.
        ([0.1, 0.1, 0.1, 0.1, -0.1], 12 / 32),
    ],
)
def test_the_sign_flip_test_agrees_with_what_is_worked_out_by_hand(differences, p):
    assert sign_flip_p(differences) == p


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=7))
def test_the_sign_flip_test_agrees_with_a_plain_enumeration(differences):
    flips = list(itertools.product((1, -1), repeat=len(differences)))
    sums = [abs(sum(sign * value for sign, value in zip(signs, differences, strict=True))) for signs in flips]
    assert sign_flip_p(differences) == pytest.approx(sum(found >= abs(sum(differences)) for found in sums) / len(flips))


@given(st.lists(numbers, min_size=1, max_size=8))
def test_no_p_value_is_below_what_the_pairs_allow_and_direction_does_not_matter(differences):
    p = sign_flip_p(differences)
    assert smallest_p(len(differences)) <= p <= 1
    assert sign_flip_p([-value for value in differences]) == p


def test_more_pairs_than_are_enumerated_are_refused():
    with pytest.raises(ValueError, match="at most 12"):
        sign_flip_p([1.0] * (MOST_ENUMERATED + 1))


def test_the_signed_rank_test_agrees_with_the_exact_value_and_takes_ties():
    # All of 13 differences point one way: 2 of 2^13 assignments of signs are as extreme.
    assert wilcoxon_p([float(k) for k in range(1, 14)]) == pytest.approx(2 / 2**13)
    assert wilcoxon_p([0.0] * 13) == 1.0
    assert 0 < wilcoxon_p([1.0] * 12 + [0.0, -1.0]) < 0.05


def test_holm_agrees_with_what_is_worked_out_by_hand():
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, which may not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= corrected <= 1 for p, corrected in zip(p_values, adjusted, strict=True))
    for (p, a), (q, b) in itertools.combinations(zip(p_values, adjusted, strict=True), 2):
        assert a <= b if p < q else b <= a or p == q


def test_few_values_allow_only_so_much():
    assert [smallest_p(n) for n in (1, 3, 5, 6)] == [1.0, 0.25, 0.0625, 0.03125]
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
