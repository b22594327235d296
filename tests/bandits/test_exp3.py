import numpy as np
import pytest

from evolve.bandits import Exp3

DRAWS = 2000
# Shares of 2000 draws have a standard deviation of at most 0.0112; five of them are 0.056.
TOLERANCE = 0.056


def share(bandit, arm):
    return sum(bandit.choose(np.random.default_rng(draw)) == arm for draw in range(DRAWS)) / DRAWS


def test_chances_follow_the_published_update():
    bandit = Exp3(["a", "b"], 0.4, 1.0)
    bandit.update("a", 1.0)
    # One reward seen at a chance of 1/2 counts 2; gamma / K is 0.2.
    first = 0.6 * np.exp(0.4) / (np.exp(0.4) + 1) + 0.2
    assert share(bandit, "a") == pytest.approx(first, abs=TOLERANCE)
    bandit.update("a", 1.0)
    weight = np.exp(0.4 + 0.2 / first)
    assert share(bandit, "a") == pytest.approx(0.6 * weight / (weight + 1) + 0.2, abs=TOLERANCE)


def test_every_arm_keeps_its_share_of_exploration():
    bandit = Exp3(["a", "b"], 0.4, 1.0)
    for _ in range(2000):
        bandit.update("a", 1.0)
    assert share(bandit, "b") == pytest.approx(0.2, abs=TOLERANCE)


def test_a_discount_brings_chances_back_together():
    bandit = Exp3(["a", "b"], 0.4, 0.9)
    for arm, reward in [("a", 1.0)] * 30 + [("b", 0.0)] * 100:
        bandit.update(arm, reward)
    assert share(bandit, "a") == pytest.approx(0.5, abs=TOLERANCE)
