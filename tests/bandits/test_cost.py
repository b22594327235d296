import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.bandits import best_mixture, within_budget

MONEY = st.sampled_from([0.0, 0.0, 0.001, 0.002, 0.01, 0.05, 0.2])


def rng(seed=0):
    return np.random.default_rng(seed)


def best_value(scores, costs, usd):
    """By trying every vertex of the linear programme: one arm, or two that spend exactly what may be spent."""
    values = [score for score, cost in zip(scores, costs, strict=True) if cost <= usd]
    for (low_score, low), (high_score, high) in itertools.permutations(zip(scores, costs, strict=True), 2):
        if low <= usd < high:
            share = (usd - low) / (high - low)
            values.append((1 - share) * low_score + share * high_score)
    return max(values)


def test_a_budget_that_does_not_bind_leaves_the_largest_score():
    mixture = best_mixture(np.array([0.1, 0.5, 0.3]), np.array([0.0, 0.1, 0.2]), 0.15, rng())
    assert mixture == (1, 1, 0.0, 0.0)


def test_two_arms_share_a_choice_in_the_proportion_that_spends_the_budget():
    mixture = best_mixture(np.array([0.1, 0.5]), np.array([0.0, 0.2]), 0.05, rng())
    assert mixture == pytest.approx((0, 1, 0.25, 2.0))
    drawn = [mixture.draw(rng(seed)) for seed in range(2000)]
    # 500 expected, standard deviation 19; five of them are 97.
    assert abs(drawn.count(1) - 500) < 97


def test_the_improvement_per_dollar_decides_between_dear_arms():
    # A dollar at arm 1 brings 3, at arm 2 brings 2.5, though arm 2 is the best one.
    assert best_mixture(np.array([0.0, 0.3, 0.5]), np.array([0.0, 0.1, 0.2]), 0.05, rng())[:2] == (0, 1)
    # With more money both are in use, and the free arm is not.
    assert best_mixture(np.array([0.0, 0.3, 0.5]), np.array([0.0, 0.1, 0.2]), 0.15, rng())[:2] == (1, 2)


def test_both_arms_in_use_maximise_the_score_less_the_price_of_their_cost():
    scores, costs = np.array([0.02, 0.1, 0.3, 0.28]), np.array([0.0, 0.01, 0.2, 0.1])
    mixture = best_mixture(scores, costs, 0.04, rng())
    net = scores - mixture.multiplier * costs
    assert net[[mixture.cheap, mixture.dear]] == pytest.approx([net.max(), net.max()])


@given(st.lists(st.tuples(st.integers(0, 20), MONEY), min_size=1, max_size=7), MONEY)
def test_the_mixture_is_the_best_vertex_of_the_linear_programme(arms, usd):
    scores, costs = np.array([score / 20 for score, _ in arms]), np.array([cost for _, cost in arms])
    mixture = best_mixture(scores, costs, usd, rng())
    share = mixture.dear_share
    spent = (1 - share) * costs[mixture.cheap] + share * costs[mixture.dear]
    if costs.min() > usd:
        assert (spent, mixture.multiplier) == (costs.min(), np.inf)
        return
    assert spent <= usd + 1e-12
    value = (1 - share) * scores[mixture.cheap] + share * scores[mixture.dear]
    assert value == pytest.approx(best_value(scores, costs, usd))


def test_an_arm_of_infinite_score_is_tried_as_often_as_the_budget_allows():
    mixture = best_mixture(np.array([0.5, np.inf, 0.9]), np.array([0.0, 0.4, 0.1]), 0.1, rng())
    assert (mixture.cheap, mixture.dear) in {(0, 1), (2, 1)}
    assert best_mixture(np.array([0.5, np.inf]), np.array([0.0, 0.1]), 0.1, rng())[:2] == (1, 1)


def test_ties_are_broken_by_chance():
    picked = {best_mixture(np.zeros(3), np.zeros(3), 0.0, rng(seed)).cheap for seed in range(40)}
    assert picked == {0, 1, 2}


def test_chances_within_the_budget_stay_as_they_are():
    chances = np.array([0.2, 0.8])
    assert within_budget(chances, np.array([0.0, 0.1]), 0.09).tolist() == [0.2, 0.8]


def test_chances_change_by_the_exponential_of_the_cost():
    chances, costs = np.array([0.2, 0.3, 0.5]), np.array([0.0, 0.1, 0.3])
    changed = within_budget(chances, costs, 0.05)
    slopes = np.log(changed / chances)[1:] - np.log(changed / chances)[0]
    assert slopes[0] / costs[1] == pytest.approx(slopes[1] / costs[2])
    assert 0.0499 < changed @ costs <= 0.05


@given(st.lists(st.tuples(st.integers(0, 5), MONEY), min_size=1, max_size=7), MONEY)
def test_changed_chances_keep_the_budget_and_give_nothing_to_arms_without_a_chance(arms, usd):
    weights, costs = np.array([float(weight) for weight, _ in arms]), np.array([cost for _, cost in arms])
    if not weights.any():
        return
    changed = within_budget(weights / weights.sum(), costs, usd)
    assert changed.sum() == pytest.approx(1)
    assert not changed[weights == 0].any()
    assert changed @ costs <= max(usd, costs[weights > 0].min()) + 1e-12
