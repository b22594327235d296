import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.archive.population import Member
from evolve.archive.selection import RankWeighted, RankWeightedConfig, parent_weights, tied_ranks


def members(*fitness: float) -> list[Member]:
    return [Member(f"p{i}", i, value, 10) for i, value in enumerate(fitness)]


def test_equal_values_share_the_mean_of_their_ranks():
    assert tied_ranks(np.array([5.0, 3.0, 3.0, 1.0, 1.0, 1.0])).tolist() == [1, 2.5, 2.5, 5, 5, 5]


def test_a_single_value_has_rank_one():
    assert tied_ranks(np.array([-7.0])).tolist() == [1]


def test_weights_follow_the_power_of_the_rank():
    weights = parent_weights(np.array([3.0, 2.0, 1.0]), np.zeros(3), pressure=1.0, offspring_discount=1.0)
    assert weights == pytest.approx(np.array([6, 3, 2]) / 11)


def test_children_divide_the_weight():
    weights = parent_weights(np.array([3.0, 2.0]), np.array([3, 0]), pressure=1.0, offspring_discount=1.0)
    assert weights == pytest.approx([1 / 3, 2 / 3])


def test_without_pressure_or_discount_all_are_alike():
    weights = parent_weights(np.array([9.0, 2.0, -1.0, -50.0]), np.array([9, 0, 4, 1]), 0.0, 0.0)
    assert weights == pytest.approx([0.25] * 4)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 5), st.floats(0.125, 8), st.integers(-3, 3))
def test_only_the_order_of_fitness_counts(values, pressure, scale, shift):
    fitness = np.sort(np.round(values))[::-1]
    children = np.arange(len(values))
    weights = parent_weights(fitness, children, pressure, 0.5)
    assert weights.sum() == pytest.approx(1)
    assert (weights == parent_weights(2.0**shift * fitness - 2**20, children, pressure, 0.5)).all()


def test_extreme_exponents_leave_a_distribution():
    weights = parent_weights(np.linspace(1, 0, 1000), np.full(1000, 10**6), 100.0, 100.0)
    assert weights.sum() == pytest.approx(1)


def test_draws_follow_the_weights():
    choice = RankWeighted(RankWeightedConfig(pressure=1.0, offspring_discount=1.0))
    rng = np.random.default_rng(0)
    drawn = np.bincount([choice.choose(members(3, 2, 1), np.zeros(3), rng) for _ in range(4400)], minlength=3)
    # Expected 2400, 1200, 800; standard deviations of these binomials are below 34, five of them are 170.
    assert np.abs(drawn - [2400, 1200, 800]).max() < 170


@pytest.mark.parametrize("fitness", [(0.0,), (-5.0, -5.0), (-1e300, -1e300, -1e300), (1e-300, 0.0)])
def test_ties_negative_and_single_members_are_fine(fitness):
    choice = RankWeighted(RankWeightedConfig())
    rng = np.random.default_rng(0)
    drawn = {choice.choose(members(*fitness), np.zeros(len(fitness)), rng) for _ in range(200)}
    assert drawn == set(range(len(fitness)))


def test_no_members_is_a_lookup_error():
    with pytest.raises(LookupError, match="no members"):
        RankWeighted(RankWeightedConfig()).choose([], np.zeros(0), np.random.default_rng(0))


@pytest.mark.parametrize("setting", ["pressure", "offspring_discount"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), 1000.0])
def test_exponents_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        RankWeightedConfig(**{setting: value})
