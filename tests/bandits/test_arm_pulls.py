import numpy as np
import pytest

from evolve.bandits import Fixed, Situation, Ucb1


def test_the_cost_of_an_arm_is_the_mean_of_its_pulls():
    bandit = Ucb1(["a", "b"], 0.2)
    for arm, cost in [("a", 0.1), ("b", 1.0), ("a", 0.3)]:
        bandit.update(arm, 0.0, cost)
    assert bandit.mean_costs_usd() == pytest.approx([0.2, 1.0])


def test_an_arm_never_pulled_is_expected_to_cost_what_the_others_do():
    bandit = Ucb1(["a", "b", "c"], 0.2)
    assert bandit.mean_costs_usd().tolist() == [0.0, 0.0, 0.0]
    for arm, cost in [("a", 0.1), ("a", 0.1), ("b", 0.3)]:
        bandit.update(arm, 0.0, cost)
    assert bandit.mean_costs_usd() == pytest.approx([0.1, 0.3, 0.2])


def test_an_arm_never_pulled_costs_the_prior_where_one_is_given():
    bandit = Ucb1(["a", "b"], 0.2, prior_cost_usd=0.7)
    bandit.update("a", 0.0, 0.1)
    assert bandit.mean_costs_usd() == pytest.approx([0.1, 0.7])


def test_an_arm_with_pulls_in_flight_makes_way_for_its_equals():
    bandit = Ucb1(["a", "b"], 0.2)
    for arm in ("a", "b"):
        bandit.update(arm, 0.1)
    assert {bandit.choose(np.random.default_rng(draw), Situation({"a": 1})) for draw in range(30)} == {"b"}


def test_an_arm_never_pulled_is_tried_no_more_often_than_the_budget_allows():
    bandit = Ucb1(["free", "new"], 0.2, prior_cost_usd=0.1)
    bandit.update("free", 0.1, 0.0)
    situation = Situation(usd_per_step=0.01)
    chosen = [bandit.choose(np.random.default_rng(draw), situation) for draw in range(1000)]
    # 100 expected, standard deviation 9.5; five of them are 47.
    assert abs(chosen.count("new") - 100) < 47


def test_unknown_arms_are_named_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown arm 'c'; the arms are a, b"):
        Fixed(["a", "b"], {}).choose(np.random.default_rng(0), Situation({"c": 1}))
