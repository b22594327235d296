import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.bandits import BanditConfig, PercentileReward, Ucb1, ucb1_scores


def test_scores_are_mean_plus_confidence():
    scores = ucb1_scores(np.array([2.0, 3.0]), np.array([4, 12]), exploration=0.5)
    assert scores == pytest.approx([0.5 + 0.5 * math.sqrt(math.log(16) / 4), 0.25 + 0.5 * math.sqrt(math.log(16) / 12)])


def test_an_arm_never_pulled_scores_infinity():
    assert ucb1_scores(np.array([1.0, 0.0]), np.array([1, 0]), 0.5).tolist() == [1.0, math.inf]
    assert ucb1_scores(np.zeros(2), np.zeros(2), 0.5).tolist() == [math.inf, math.inf]


def test_without_exploration_the_score_is_the_mean():
    assert ucb1_scores(np.array([1.0, 3.0]), np.array([2, 4]), 0.0).tolist() == [0.5, 0.75]


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="shape"):
        ucb1_scores(np.zeros(2), np.zeros(3), 0.5)
    with pytest.raises(ValueError, match="exploration"):
        ucb1_scores(np.zeros(2), np.zeros(2), -0.1)


def test_ties_are_broken_by_chance():
    bandit = Ucb1(["a", "b"], 0.5)
    drawn = [bandit.choose(np.random.default_rng(draw)) for draw in range(200)]
    # 100 expected, standard deviation 7; five of them are 35.
    assert 65 < drawn.count("a") < 135


def test_rewards_are_summed_per_arm():
    bandit = Ucb1(["a", "b"], 0.5)
    for arm, reward in [("a", 0.5), ("b", 1.0), ("a", 0.25)]:
        bandit.update(arm, reward)
    assert bandit.rewards() == {"a": 0.75, "b": 1.0}


@pytest.mark.parametrize("settings", [{"exploration": -0.1}, {"reward_window": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        BanditConfig(**settings)


def test_no_improvement_earns_nothing():
    reward = PercentileReward(10)
    assert [reward.of(value) for value in (None, 0.0, -1.0)] == [0.0, 0.0, 0.0]


def test_an_improvement_earns_its_rank_among_the_latest():
    reward = PercentileReward(3)
    # Windows: 4 | 4 2 | 4 2 3 | 2 3 1 | 3 1 9
    assert [reward.of(value) for value in (4.0, 2.0, 3.0, 1.0, 9.0)] == pytest.approx([1, 1 / 2, 2 / 3, 1 / 3, 1])


def test_equal_improvements_earn_the_same():
    reward = PercentileReward(10)
    assert [reward.of(0.1) for _ in range(4)] == [1.0] * 4


@given(st.lists(st.floats(1e-6, 1e6), max_size=40), st.integers(1, 10), st.integers(-10, 10))
def test_rewards_do_not_depend_on_the_scale(improvements, window, power):
    plain, scaled = PercentileReward(window), PercentileReward(window)
    assert [plain.of(value) for value in improvements] == [scaled.of(value * 2.0**power) for value in improvements]


@given(st.lists(st.floats(-1, 1), max_size=60), st.integers(1, 8))
def test_rewards_agree_with_a_slow_obvious_version(improvements, window):
    reward, seen = PercentileReward(window), []
    for value in improvements:
        expected = 0.0
        if value > 0:
            seen = [*seen, value][-window:]
            expected = sum(other <= value for other in seen) / len(seen)
        assert reward.of(value) == expected
