from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_bounds_kit import SIZES, every_placement, hottest_even, hottest_routed, layers

from evolve.evaluators.placement.bounds import (
    hottest_replica,
    least_replicas,
    lower_bound,
    lower_bound_any_routing,
    lower_bound_for_counts,
    mean_load,
    replicate,
)

#: Floats are rounded: a bound may lie so much of itself above what it bounds.
EPS = 1 + 1e-12


def every_count(experts, slots):
    """All numbers of replicas with the given sum."""
    most = slots - experts + 1
    counts = np.array(list(product(range(1, most + 1), repeat=experts)))
    return counts[counts.sum(1) == slots]


@st.composite
def experts_and_slots(draw):
    experts, spare = draw(st.integers(1, 4)), draw(st.integers(0, 4))
    return np.array(draw(st.lists(st.integers(0, 60), min_size=experts, max_size=experts))), experts + spare


@given(experts_and_slots())
def test_no_numbers_of_replicas_have_a_colder_hottest_one_than_greedy_replication(case):
    load, slots = case
    brute = (load / every_count(len(load), slots)).max(1).min()
    assert hottest_replica(load, slots) == brute
    counts = replicate(load, slots)
    assert counts.sum() == slots
    assert counts.min() >= 1


@given(experts_and_slots())
def test_the_least_ith_replica_is_what_trying_all_numbers_finds(case):
    load, slots = case
    counts = every_count(len(load), slots)
    sorted_replicas = np.array([np.sort(np.repeat(load / row, row))[::-1] for row in counts])
    np.testing.assert_array_equal(least_replicas(load, slots), sorted_replicas.min(0))


@settings(max_examples=300, deadline=None)
@given(layers())
def test_no_placement_with_even_shares_is_below_the_bound(case):
    load, gpus, per_gpu = case
    best = hottest_even(load, every_placement(len(load), gpus, per_gpu)).min()
    assert lower_bound(load, gpus, gpus * per_gpu) <= best * EPS


@settings(max_examples=300, deadline=None)
@given(layers())
def test_no_placement_under_any_routing_is_below_the_bound_for_all(case):
    load, gpus, per_gpu = case
    best = hottest_routed(load, every_placement(len(load), gpus, per_gpu)).min()
    assert lower_bound_any_routing(load, gpus, gpus * per_gpu) <= best * EPS


@settings(max_examples=300, deadline=None)
@given(layers())
def test_no_placement_of_given_counts_is_below_the_bound_for_them(case):
    load, gpus, per_gpu = case
    placements = every_placement(len(load), gpus, per_gpu)
    hottest, counts = hottest_even(load, placements), placements.sum(1)
    bounds = lower_bound_for_counts(np.broadcast_to(load, counts.shape), counts, gpus)
    assert (bounds <= hottest * EPS).all()
    assert lower_bound(load, gpus, gpus * per_gpu) <= bounds.min() * EPS


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 8), st.integers(1, 6))
def test_bounds_of_more_freedom_are_lower(seed, experts, gpus, per_gpu):
    slots = gpus * max(per_gpu, -(-experts // gpus))
    load = np.random.default_rng(seed).lognormal(0, 1.5, (3, experts))
    counts = replicate(load, slots)
    assert (mean_load(load, gpus) <= lower_bound_any_routing(load, gpus, slots) * EPS).all()
    assert (hottest_replica(load, slots) <= lower_bound_any_routing(load, gpus, slots)).all()
    assert (lower_bound_any_routing(load, gpus, slots) <= lower_bound(load, gpus, slots) * EPS).all()
    assert (lower_bound(load, gpus, slots) <= lower_bound_for_counts(load, counts, gpus) * EPS).all()


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 8), st.integers(0, 2))
def test_the_short_way_gives_the_same_bound_as_exact_least_replicas(seed, experts, gpus, more):
    per_gpu = -(-experts // gpus) + more
    slots = gpus * per_gpu
    load = np.random.default_rng(seed).lognormal(0, 2, (4, experts))
    least = least_replicas(load, slots)
    holes = [
        least[:, j * gpus - j : j * gpus + 1].sum(1) + least[:, slots - (per_gpu - j - 1) : slots].sum(1) for j in range(per_gpu)
    ]
    np.testing.assert_allclose(lower_bound(load, gpus, slots), np.max([mean_load(load, gpus), *holes], 0), rtol=1e-12)


def test_bounds_of_a_case_worked_by_hand():
    # Six experts in six slots of three GPUs: pairs. 9 lies with 1 at best (10); of 9, 7, 6, 6 two lie together: 12.
    load = np.array([[9, 7, 6, 6, 2, 1]])
    assert mean_load(load, 3).tolist() == [31 / 3]
    assert lower_bound(load, 3, 6).tolist() == [12]
    assert lower_bound_any_routing(load, 3, 6).tolist() == [12]
    # Nine slots: 9 as 4.5 + 4.5, 7 as 3.5 + 3.5, 6 as 3 + 3: the hottest replica is 6, so the mean is all that is known.
    assert replicate(load, 9).tolist() == [[2, 2, 2, 1, 1, 1]]
    assert hottest_replica(load, 9).tolist() == [6]
    assert lower_bound(load, 3, 9).tolist() == [31 / 3]


def test_a_bound_for_counts_says_nothing_of_other_counts():
    # The spare slot given to the cold expert leaves 8 on one GPU; given to the hot one, no GPU has more than 5.
    assert lower_bound_for_counts([8, 1, 1], np.array([1, 2, 1]), 2) == 8.5
    assert lower_bound([8, 1, 1], 2, 4) == hottest_even([8, 1, 1], every_placement(3, 2, 2)).min() == 5


def test_even_shares_cost_more_than_free_routing_where_cold_replicas_fill_a_gpu():
    load = [6, 1, 1, 1]
    placements = every_placement(4, 2, 3)
    assert hottest_routed(load, placements).min() == lower_bound_any_routing(load, 2, 6) == 4.5
    assert lower_bound(load, 2, 6) == 4.5


def test_all_windows_and_layers_are_bounded_in_one_call():
    load = np.random.default_rng(0).integers(0, 1000, (3, 2, 16))
    for bound in (lower_bound, lower_bound_any_routing):
        together = bound(load, 4, 20)
        assert together.shape == (3, 2)
        assert together[1, 1] == bound(load[1, 1], 4, 20)
    assert replicate(load, 20).shape == (3, 2, 16)
    assert least_replicas(load, 20).shape == (3, 2, 20)
    assert lower_bound_for_counts(load, replicate(load, 20), 4).shape == (3, 2)


def test_experts_without_load_are_bounded_by_zero():
    assert lower_bound(np.zeros((2, 6)), 4, 8).tolist() == [0, 0]
    assert lower_bound_any_routing(np.zeros((2, 6)), 4, 8).tolist() == [0, 0]


@pytest.mark.parametrize(("experts", "gpus", "per_gpu"), [size for size in SIZES if size[1] * size[2] % size[0] == 0])
def test_bounds_are_reached_by_even_loads_that_divide(experts, gpus, per_gpu):
    load = np.full(experts, 60)
    placements = every_placement(experts, gpus, per_gpu)
    assert lower_bound(load, gpus, gpus * per_gpu) == pytest.approx(hottest_even(load, placements).min())


@pytest.mark.parametrize(
    ("load", "gpus", "slots", "message"),
    [
        ([1, 2, 3], 2, 3, "3 slots for 2 GPUs"),
        ([1, 2, 3], 2, 2, "each of 3 experts needs a slot, got 2"),
        ([1, -2, 3], 1, 3, r"got -2.0 at \(1,\)"),
        ([[1, 2], [3, float("nan")]], 1, 3, r"got nan at \(1, 1\)"),
        ([], 1, 3, r"at least one expert and one row, got \(0,\)"),
        ([1, 2, 3], 0, 3, "3 slots for 0 GPUs"),
    ],
)
def test_bad_loads_and_sizes_are_refused(load, gpus, slots, message):
    for bound in (lower_bound, lower_bound_any_routing):
        with pytest.raises(ValueError, match=message):
            bound(np.array(load), gpus, slots)


@pytest.mark.parametrize(
    ("counts", "message"),
    [([[1, 0], [1, 1]], ">= 1"), ([[1, 1, 1]], "of shape"), ([[1, 2], [1, 1]], r"one sum in all layers, got \[2, 3\]")],
)
def test_counts_that_do_not_fit_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        lower_bound_for_counts(np.ones((2, 2)), np.array(counts), 1)
