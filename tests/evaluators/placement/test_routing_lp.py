import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_bounds_kit import every_placement, hottest_even, hottest_routed, layers, slots_of

from evolve.evaluators.placement.bounds import lower_bound_any_routing
from evolve.evaluators.placement.routing_lp import best_routing


def gpu_loads(load, slots, share, gpus):
    return (np.take_along_axis(load, slots, 1) * share).reshape(len(load), gpus, -1).sum(2)


def uneven(seed, experts, gpus, slots, n_layers=3):
    """Loads and placements of many layers, none of them good."""
    rng = np.random.default_rng(seed)
    placed = np.stack(
        [rng.permutation(np.concatenate([np.arange(experts), rng.integers(0, experts, slots - experts)])) for _ in range(n_layers)]
    )
    return rng.lognormal(0, 1, (n_layers, experts)), placed


@settings(max_examples=60, deadline=None)
@given(layers())
def test_routing_reaches_what_the_theorem_of_hall_says(case):
    load, gpus, per_gpu = case
    placements = every_placement(len(load), gpus, per_gpu)[:150]
    slots = np.array([slots_of(placement) for placement in placements])
    loads = np.tile(load, (len(slots), 1))
    routing = best_routing(loads, slots, gpus)
    expected = hottest_routed(load, placements)
    np.testing.assert_allclose(routing.hottest, expected, rtol=1e-6)
    np.testing.assert_allclose(routing.proven, expected, rtol=1e-6)
    assert (routing.proven <= expected * (1 + 1e-12)).all()
    assert (lower_bound_any_routing(loads, gpus, slots.shape[1]) <= routing.hottest * (1 + 1e-12)).all()
    assert (routing.hottest <= hottest_even(load, placements) * (1 + 1e-6)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 24), st.integers(1, 6), st.integers(0, 2))
def test_shares_are_parts_of_a_whole_and_make_the_load_that_is_said(seed, experts, gpus, more):
    n_slots = gpus * (-(-experts // gpus) + more)
    load, slots = uneven(seed, experts, gpus, n_slots)
    hottest, share, proven = best_routing(load, slots, gpus)
    assert share.shape == slots.shape
    assert share.min() >= 0
    for layer in range(len(load)):
        np.testing.assert_allclose(np.bincount(slots[layer], weights=share[layer], minlength=experts), 1, rtol=1e-12)
    np.testing.assert_allclose(gpu_loads(load, slots, share, gpus).max(1), hottest, rtol=1e-12)
    assert (proven <= hottest).all()
    np.testing.assert_allclose(proven, hottest, rtol=1e-6)


def test_a_routing_worked_by_hand():
    # Expert 0 (12) lies with 1 (4) and with 2 (2): 5 + 4 and 7 + 2.
    routing = best_routing(np.array([[12, 4, 2]]), np.array([[0, 1, 2, 0]]), 2)
    assert routing.hottest == pytest.approx([9])
    np.testing.assert_allclose(routing.share, [[5 / 12, 1, 1, 7 / 12]])


def test_replicas_on_one_gpu_share_evenly_and_idle_experts_too():
    routing = best_routing(np.array([[6, 0, 3]]), np.array([[0, 0, 1, 0, 1, 2]]), 2)
    np.testing.assert_allclose(routing.share, [[3 / 8, 3 / 8, 1 / 2, 1 / 4, 1 / 2, 1]])
    assert routing.hottest == pytest.approx([4.5])


def test_a_placement_without_choice_has_its_load():
    routing = best_routing(np.array([[5, 1, 2, 0]]), np.array([[0, 3, 1, 2]]), 2)
    assert (routing.hottest, routing.proven) == ([5], [5])
    assert routing.share.tolist() == [[1, 1, 1, 1]]


def test_layers_do_not_touch_each_other():
    load, slots = uneven(1, 16, 4, 20, n_layers=70)
    together = best_routing(load, slots, 4).hottest
    alone = [best_routing(load[layer : layer + 1], slots[layer : layer + 1], 4).hottest[0] for layer in (0, 63, 64, 69)]
    np.testing.assert_allclose(together[[0, 63, 64, 69]], alone, rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-9, 1e12])
def test_the_unit_of_load_does_not_matter(unit):
    load, slots = uneven(2, 16, 4, 20)
    np.testing.assert_allclose(best_routing(load * unit, slots, 4).hottest, best_routing(load, slots, 4).hottest * unit, rtol=1e-6)


def test_layers_without_load_are_routed():
    routing = best_routing(np.zeros((2, 3)), np.array([[0, 1, 2, 0], [0, 0, 1, 2]]), 2)
    assert routing.hottest.tolist() == [0, 0]
    assert routing.share.tolist() == [[0.5, 1, 1, 0.5], [0.5, 0.5, 1, 1]]


@pytest.mark.parametrize(
    ("load", "slots", "gpus", "message"),
    [
        ([[1, 2]], [[0, 0]], 2, "expert 1 of layer 0 has no slot"),
        ([[1, 2]], [[0, 2]], 2, "whole numbers from 0 to 1, got int64 0 to 2"),
        ([[1, 2]], [[0.0, 1.0]], 2, "got float64"),
        ([[1, 2]], [[0, 1, 1]], 2, "3 slots for 2 GPUs"),
        ([[1, -2]], [[0, 1]], 2, "got -2.0 to 1.0"),
        ([1, 2], [[0, 1]], 2, r"got \(2,\) and \(1, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(load, slots, gpus, message):
    with pytest.raises(ValueError, match=message):
        best_routing(np.array(load), np.array(slots), gpus)
