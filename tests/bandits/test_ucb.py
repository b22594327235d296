import math

import numpy as np
import pytest

from evolve.bandits import DiscountedUcb, Ucb1, ucb1_scores


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


def test_pulls_in_flight_count_in_the_confidence_and_not_in_the_mean():
    scores = ucb1_scores(np.array([2.0, 3.0]), np.array([4, 12]), 0.5, np.array([4, 0]))
    assert scores == pytest.approx([0.5 + 0.5 * math.sqrt(math.log(20) / 8), 0.25 + 0.5 * math.sqrt(math.log(20) / 12)])


def test_an_arm_first_pulled_and_not_finished_is_not_infinitely_good():
    scores = ucb1_scores(np.array([1.0, 0.0]), np.array([1, 0]), 0.5, np.array([0, 2]))
    assert scores[1] == pytest.approx(0.5 * math.sqrt(math.log(3) / 2))


def test_ucb1_is_discounted_ucb_that_forgets_nothing():
    one, other = Ucb1(["a", "b", "c"], 0.2), DiscountedUcb(["a", "b", "c"], 0.2, 1.0)
    for pull in range(60):
        arm = one.choose(np.random.default_rng(pull))
        assert other.choose(np.random.default_rng(pull)) == arm
        for bandit in (one, other):
            bandit.update(arm, (pull % 7) / 7)


def test_a_discount_lets_old_rewards_fade():
    bandit = DiscountedUcb(["a", "b"], 0.05, 0.9)
    for arm, reward in [("a", 1.0)] * 20 + [("b", 0.3)] * 20 + [("a", 0.0)] * 10:
        bandit.update(arm, reward)
    assert bandit.choose(np.random.default_rng(0)) == "b"
    steady = Ucb1(["a", "b"], 0.05)
    for arm, reward in [("a", 1.0)] * 20 + [("b", 0.3)] * 20 + [("a", 0.0)] * 10:
        steady.update(arm, reward)
    assert steady.choose(np.random.default_rng(0)) == "a"


def test_an_arm_forgotten_for_long_is_pulled_again():
    bandit = DiscountedUcb(["a", "b"], 0.1, 0.9)
    bandit.update("b", 0.0)
    for _ in range(20_000):
        bandit.update("a", 0.9)
    assert bandit.choose(np.random.default_rng(0)) == "b"
