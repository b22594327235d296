import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nct, t

from evolve.evaluators.moe.fitness import Summary
from evolve.evaluators.moe.paired import TOLERATED, WORTH, judge, rank_correlation, seeds_needed

SIGMA = 0.01
#: Of ten seeds, mean 0: what seeds have in common, and what a pair does not.
COMMON = [0.02, -0.03, 0.01, 0.0, 0.04, -0.04, 0.03, -0.01, -0.03, 0.01]
APART = [0.001, -0.001, 0.002, -0.002, 0.0, 0.001, -0.001, 0.0, 0.0015, -0.0015]


def trainings(cross_entropy, l1, apart=0.0):
    return {
        seed: Summary(cross_entropy + common + apart * own, 0.3, 0.0, 1.0, l1 + own)
        for seed, (common, own) in enumerate(zip(COMMON, APART, strict=True))
    }


def test_a_gain_that_seeds_alone_would_hide_is_found_in_pairs():
    # 0.01 lower, where seeds spread by 0.026; pairs spread by 0.0013, which leaves +-0.0009 around the mean of ten.
    [verdict] = judge(trainings(2.40, 0.2, apart=1.0), {"switch": trainings(2.41, 0.2)}, SIGMA)
    assert (verdict.baseline, verdict.n) == ("switch", 10)
    assert verdict.cross_entropy.value == pytest.approx(-0.01)
    assert -0.0115 < verdict.cross_entropy.low < -0.0105 < -0.0095 < verdict.cross_entropy.high < -0.0085
    assert verdict.predicts_better.holds
    assert verdict.beats


def test_a_gain_that_is_certain_and_small_beats_nobody():
    [verdict] = judge(trainings(2.41 - 0.9 * WORTH * SIGMA, 0.2, apart=1.0), {"switch": trainings(2.41, 0.2)}, SIGMA)
    assert verdict.predicts_better.adjusted < 0.001
    assert not verdict.predicts_better.worth
    assert not verdict.beats


def test_less_imbalance_beats_where_cross_entropy_is_no_worse():
    [verdict] = judge(trainings(2.41, 0.15, apart=0.5), {"switch": trainings(2.41, 0.2)}, SIGMA)
    assert verdict.reduction == pytest.approx(0.25)
    assert verdict.balances_better.holds
    assert not verdict.predicts_better.holds


def test_less_imbalance_beats_nobody_where_cross_entropy_may_be_worse():
    # The mean is within what is tolerated; its interval is not.
    program = trainings(2.41 + 0.8 * TOLERATED * SIGMA, 0.15, apart=1.0)
    [verdict] = judge(program, {"switch": trainings(2.41, 0.2)}, SIGMA)
    assert verdict.cross_entropy.value < TOLERATED * SIGMA < verdict.cross_entropy.high
    assert verdict.balances_better.worth
    assert verdict.balances_better.p > 0.05
    assert not verdict.beats


def test_a_little_less_imbalance_is_not_worth_it():
    [verdict] = judge(trainings(2.41, 0.17, apart=0.5), {"switch": trainings(2.41, 0.2)}, SIGMA)
    assert verdict.balances_better.adjusted < 0.05
    assert not verdict.beats


def test_worse_is_no_finding_however_certain():
    [verdict] = judge(trainings(2.43, 0.4, apart=1.0), {"switch": trainings(2.41, 0.2)}, SIGMA)
    assert (verdict.predicts_better.p, verdict.balances_better.p) == (1.0, 1.0)
    assert verdict.reduction == pytest.approx(-1.0)


def test_all_claims_against_all_baselines_are_corrected_together():
    baselines = {"switch": trainings(2.4102, 0.2), "none": trainings(2.41, 0.9)}
    first, second = judge(trainings(2.41, 0.2, apart=1.0), baselines, SIGMA)
    alone = judge(trainings(2.41, 0.2, apart=1.0), {"switch": baselines["switch"]}, SIGMA)[0]
    claims = [first.predicts_better, first.balances_better, second.predicts_better, second.balances_better]
    smallest = min(claims, key=lambda claim: claim.p)
    assert smallest is second.balances_better
    assert smallest.adjusted == pytest.approx(4 * smallest.p)
    assert first.predicts_better.p == alone.predicts_better.p
    # Second smallest of four, against first of two.
    assert first.predicts_better.adjusted == pytest.approx(min(1.0, 3 * alone.predicts_better.p))


def test_verdicts_need_the_same_seeds():
    with pytest.raises(ValueError, match="'switch' and the method must have the same seeds; only one of them has 10"):
        judge(trainings(2.4, 0.2), {"switch": trainings(2.4, 0.2) | {10: Summary(2.4, 0.3, 0.0, 1.0, 0.2)}}, SIGMA)
    one = {0: Summary(2.4, 0.3, 0.0, 1.0, 0.2)}
    with pytest.raises(ValueError, match="2 seeds or more"):
        judge(one, {"switch": one}, SIGMA)
    with pytest.raises(ValueError, match="sigma must be > 0"):
        judge(one, {"switch": one}, 0.0)


def test_the_number_of_seeds_agrees_with_what_is_worked_out_by_hand():
    # (1.960 + 0.842)^2 = 7.849, half the square of 1.960 is 1.921: 9.77 for a difference of one spread, 33.3 for half.
    assert seeds_needed(1.0, 1.0) == 10
    assert seeds_needed(1.0, -0.5) == 34
    assert seeds_needed(0.0, 1.0) == 2


@pytest.mark.parametrize("power", [0.8, 0.9])
@pytest.mark.parametrize("level", [0.05, 0.005])
@pytest.mark.parametrize("effect", [0.3, 0.5, 1.0, 1.5])
def test_the_number_of_seeds_is_within_one_of_the_exact_one(power, level, effect):
    def power_of(n):
        threshold, shift = t.ppf(1 - level / 2, n - 1), effect * math.sqrt(n)
        return nct.sf(threshold, n - 1, shift) + nct.cdf(-threshold, n - 1, shift)

    exact = next(n for n in range(2, 400) if power_of(n) >= power)
    assert abs(seeds_needed(1.0, effect, power, level) - exact) <= 1


@given(st.floats(0, 10), st.floats(0.01, 10), st.floats(0.01, 10))
def test_larger_differences_need_no_more_seeds(sd, one, other):
    assert seeds_needed(sd, max(one, other)) <= seeds_needed(sd, min(one, other))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 1.0), "sd_of_differences"),
        ((1.0, 0.0), "difference must not be 0"),
        ((1.0, math.nan), "difference must not be 0"),
        ((1.0, 1.0, 1.0), "power and level"),
    ],
)
def test_a_number_of_seeds_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        seeds_needed(*arguments)


def test_rank_correlations_agree_with_what_is_worked_out_by_hand():
    # One exchange of neighbours among five: 1 - 6 x 2 / (5 x 24) = 0.9; nine of ten pairs in order: 0.8.
    found = rank_correlation([1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 30.0, 20.0, 40.0, 50.0])
    assert found.rho.value == pytest.approx(0.9)
    assert found.tau == pytest.approx(0.8)
    # atanh 0.9 = 1.4722, less 1.960 x sqrt(1.405 / 2) = 1.6428.
    assert found.rho.low == pytest.approx(math.tanh(1.4722 - 1.6428), abs=1e-3)
    assert found.rho.high == pytest.approx(math.tanh(1.4722 + 1.6428), abs=1e-3)


def test_ties_share_the_mean_of_their_ranks():
    # Ranks 1.5, 1.5, 3, 4 and 1, 2, 3, 4: Pearson's is 4.5 / sqrt(4.5 x 5).
    assert rank_correlation([0.0, 0.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]).rho.value == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_whole_agreement_of_few_things_is_not_certain():
    found = rank_correlation([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.rho.value == pytest.approx(1.0)
    assert found.rho.high == 1.0
    assert found.rho.low < 0
    assert rank_correlation(range(22), range(22)).rho.low > 0.99


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=12))
def test_the_interval_holds_the_correlation_and_turns_with_it(values):
    first, second = ([float(pair[side]) for pair in values] for side in (0, 1))
    if len(set(first)) == 1 or len(set(second)) == 1:
        with pytest.raises(ValueError, match="ranks nothing"):
            rank_correlation(first, second)
        return
    found, turned = rank_correlation(first, second), rank_correlation(first, [-value for value in second])
    assert -1 <= found.rho.low <= found.rho.value <= found.rho.high <= 1
    assert (turned.rho.value, turned.tau) == (pytest.approx(-found.rho.value), pytest.approx(-found.tau))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "4 or more"),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0], "a value of each"),
        ([1.0, 2.0, 3.0, math.nan], [1.0, 2.0, 3.0, 4.0], "finite"),
    ],
)
def test_rankings_that_cannot_be_compared_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        rank_correlation(first, second)
