from collections import Counter

import numpy as np

from evolve.bandits import Asymmetric, Situation


def drawn(bandit, situation=Situation(), draws=1000):
    return Counter(bandit.choose(np.random.default_rng(draw), situation) for draw in range(draws))


def test_arms_never_begun_come_first():
    bandit = Asymmetric(["a", "b", "c"], 1.0, 0.95)
    bandit.update("a", 1.0)
    assert set(drawn(bandit, draws=40)) == {"b", "c"}
    assert set(drawn(bandit, Situation({"b": 1}), draws=40)) == {"c"}


def test_the_best_arm_has_four_fifths_and_the_others_share_the_rest():
    bandit = Asymmetric(["a", "b", "c"], 0.1, 0.95)
    for arm, reward in [("a", 1.0), ("b", 0.0), ("c", 0.0)] * 5:
        bandit.update(arm, reward)
    counts = drawn(bandit)
    # 800, 100 and 100 expected, standard deviations 13 and 9.5; five of them are 63 and 47.
    assert abs(counts["a"] - 800) < 63
    assert abs(counts["b"] - 100) < 47


def test_an_arm_much_cheaper_is_preferred_to_one_somewhat_better_as_in_the_original():
    bandit = Asymmetric(["cheap", "good"], 1.0, 0.95)
    for _ in range(10):
        bandit.update("cheap", 0.3, 0.001)
        bandit.update("good", 0.5, 0.1)
    assert drawn(bandit)["cheap"] > 700
