from collections import Counter

import numpy as np
import pytest

from evolve.bandits import Fixed, Situation


def test_arms_are_drawn_in_proportion_to_their_weights():
    bandit = Fixed(["a", "b", "c"], {"a": 2.0, "c": 0.0})
    bandit.update("b", 1.0)
    drawn = Counter(bandit.choose(np.random.default_rng(draw)) for draw in range(900))
    # 600 and 300 expected, standard deviation 14; five of them are 71.
    assert abs(drawn["a"] - 600) < 71
    assert drawn["a"] + drawn["b"] == 900


@pytest.mark.parametrize(
    ("weights", "message"),
    [({"x": 1.0}, "unknown arm 'x'"), ({"a": -1.0}, "got -1.0 for arm 'a'"), ({"a": 0.0, "b": 0.0}, "0 for every arm")],
)
def test_weights_that_make_no_sense_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        Fixed(["a", "b"], weights)


def test_arms_of_weight_zero_are_never_pulled_even_alone():
    with pytest.raises(ValueError, match="no available arm has a weight above 0: of a"):
        Fixed(["a", "b"], {"a": 0.0}).choose(np.random.default_rng(0), Situation(available=frozenset({"a"})))
