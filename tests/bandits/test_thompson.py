import math

import numpy as np
import pytest

from evolve.bandits import Situation, ThompsonBeta, ThompsonGaussian


def share(bandit, arm, situation=Situation(), draws=2000):
    return sum(bandit.choose(np.random.default_rng(draw), situation) == arm for draw in range(draws)) / draws


def fed(bandit, updates):
    for arm, reward in updates:
        bandit.update(arm, reward)
    return bandit


# Shares of 2000 draws have a standard deviation of at most 0.0112; five of them are 0.056.
TOLERANCE = 0.056


def test_beta_pulls_an_arm_as_often_as_it_is_the_best():
    # P(Beta(2, 1) > Beta(1, 2)): the integral of 2x * (2x - x^2) over [0, 1], 5/6.
    bandit = fed(ThompsonBeta(["a", "b"], 1.0), [("a", 1.0), ("b", 0.0)])
    assert share(bandit, "a") == pytest.approx(5 / 6, abs=TOLERANCE)


def test_fractions_of_a_reward_add_up():
    whole = fed(ThompsonBeta(["a", "b"], 1.0), [("a", 1.0), ("a", 0.0), ("b", 0.0)])
    halves = fed(ThompsonBeta(["a", "b"], 1.0), [("a", 0.5), ("a", 0.5), ("b", 0.0)])
    assert share(whole, "a", draws=100) == share(halves, "a", draws=100)


def test_less_exploration_pulls_the_better_arm_more():
    updates = [("a", 1.0), ("a", 0.0), ("b", 0.0), ("b", 0.0)]
    assert share(fed(ThompsonBeta(["a", "b"], 0.1), updates), "a") > share(fed(ThompsonBeta(["a", "b"], 1.0), updates), "a") + 0.1


def test_gaussian_pulls_an_arm_as_often_as_it_is_the_best():
    # Means 1/2 and 0, each of variance 0.5^2 / 2: the difference has mean 1/2 and standard deviation 1/2.
    bandit = fed(ThompsonGaussian(["a", "b"], 0.5), [("a", 1.0), ("b", 0.0)])
    assert share(bandit, "a") == pytest.approx(0.5 * (1 + math.erf(1 / math.sqrt(2))), abs=TOLERANCE)


def test_pulls_in_flight_make_an_arm_better_known_and_not_better():
    bandit = fed(ThompsonGaussian(["a", "b"], 0.5), [("a", 0.0), ("b", 0.3)])
    alone, together = share(bandit, "a"), share(bandit, "a", Situation({"a": 20}))
    assert together < alone - 0.02


def test_a_new_arm_is_tried_though_another_pays_well():
    bandit = fed(ThompsonGaussian(["a", "b"], 0.1), [("a", 1.0)] * 5)
    assert share(bandit, "b", draws=20) == 1.0


@pytest.mark.parametrize("kind", [ThompsonBeta, ThompsonGaussian])
def test_a_discount_lets_old_rewards_fade(kind):
    updates = [("a", 1.0)] * 20 + [("b", 0.3)] * 20 + [("a", 0.0)] * 10
    assert share(fed(kind(["a", "b"], 0.1, 1.0), updates), "a", draws=200) > 0.9
    assert share(fed(kind(["a", "b"], 0.1, 0.9), updates), "a", draws=200) < 0.2
