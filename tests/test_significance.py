import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.intervals import mean_interval
from evolve.significance import MOST_ENUMERATED, holm, sign_flip_p, smallest_p, student_p, wilcoxon_p

numbers = st.floats(-1e308, 1e308, allow_nan=False)


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


def test_few_pairs_allow_only_so_small_a_p_value():
    assert [smallest_p(n) for n in (1, 3, 5, 6)] == [1.0, 0.25, 0.0625, 0.03125]


def test_students_p_value_agrees_with_what_is_worked_out_by_hand():
    # Mean 2, standard error 1 / sqrt(3): t = 2 sqrt(3) with 2 degrees of freedom, whose tail is 1/2 - t / (2 sqrt(2 + t^2)).
    value = 2 * math.sqrt(3)
    assert student_p([1.0, 2.0, 3.0]) == pytest.approx(1 - value / math.sqrt(2 + value**2))
    assert student_p([1.0, 2.0, 3.0], against=2.0) == 1.0


def test_equal_differences_speak_for_no_other_mean():
    assert student_p([0.1, 0.1, 0.1]) == 0.0
    assert student_p([0.1, 0.1, 0.1], against=0.1) == 1.0
    assert student_p([0.0, 0.0]) == 1.0


def test_one_difference_is_no_test():
    with pytest.raises(ValueError, match="at least 2"):
        student_p([1.0])


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=8), st.integers(-5, 5))
def test_students_p_value_is_small_where_the_interval_leaves_the_mean_out(differences, against):
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    found = mean_interval(statistics.mean(differences), error, len(differences))
    assert (student_p(differences, against) < 0.05) == (not found.low <= against <= found.high)
