import numpy as np
import pytest
from hypothesis import given, settings
from placement_bounds_kit import every_placement, hottest_even, layers

from evolve.evaluators.placement.bounds import lower_bound
from evolve.evaluators.placement.exact import MOST_EXPERTS, SolverConfig, best_placement

#: Bounds the time of a test; the cases here take a tenth of a second, and a proof that is missing fails them.
CONFIG = SolverConfig(limit_s=30)


def hottest_of(load, slots, gpus):
    counts = np.bincount(slots, minlength=len(load))
    return (np.asarray(load)[slots] / counts[slots]).reshape(gpus, -1).sum(1).max()


@settings(max_examples=40, deadline=None)
@given(layers())
def test_the_best_placement_is_what_trying_all_of_them_finds(case):
    load, gpus, per_gpu = case
    best = hottest_even(load, every_placement(len(load), gpus, per_gpu)).min()
    slots, hottest, proven, optimal = best_placement(load, gpus, gpus * per_gpu, CONFIG)
    assert optimal
    assert hottest == pytest.approx(best, rel=1e-5)
    assert proven <= best * (1 + 1e-12)
    assert hottest_of(load, slots, gpus) == pytest.approx(hottest, rel=1e-12)
    assert set(slots.tolist()) == set(range(len(load)))


def test_cold_experts_are_replicated_where_that_fills_slots_better():
    # Replicas of the hottest experts leave 4.5 + 4.5 + 2 on a GPU; two halves of 2 and of 1 beside each 9 make 10.5 twice.
    slots, hottest, proven, optimal = best_placement(np.array([9, 9, 2, 1]), 2, 6, CONFIG)
    assert (hottest, optimal) == (10.5, True)
    assert proven == pytest.approx(10.5, rel=1e-5)
    assert sorted(slots.reshape(2, 3).tolist()) == [[0, 2, 3], [1, 2, 3]]


def test_a_time_limit_ends_with_a_valid_placement_and_an_honest_bound():
    load = np.ceil(np.random.default_rng(0).lognormal(0, 1, 32) * 1000)
    slots, hottest, proven, optimal = best_placement(load, 8, 40, SolverConfig(limit_s=0.2))
    assert not optimal
    assert lower_bound(load, 8, 40) <= proven < hottest < 1.05 * proven
    assert hottest_of(load, slots, 8) == pytest.approx(hottest)
    assert set(slots.tolist()) == set(range(32))


def test_a_gap_that_is_wide_enough_asks_for_no_search():
    load = np.ceil(np.random.default_rng(0).lognormal(0, 1, 32) * 1000)
    assert best_placement(load, 8, 40, SolverConfig(gap=0.05)).optimal


def test_a_layer_without_load_is_placed():
    slots, hottest, proven, optimal = best_placement(np.zeros(3), 2, 4, CONFIG)
    assert (hottest, proven, optimal) == (0, 0, True)
    assert set(slots.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("load", "gpus", "slots", "message"),
    [
        (np.ones(MOST_EXPERTS + 1), 1, 40, "at most 32 experts"),
        (np.ones(4), 9, 9, "on 9 GPUs"),
        (np.ones((2, 4)), 2, 4, r"shape \(2, 4\)"),
        (np.ones(4), 2, 5, "5 slots for 2 GPUs"),
        (np.array([1, np.inf]), 2, 2, "got inf"),
    ],
)
def test_what_is_too_large_or_does_not_fit_is_refused(load, gpus, slots, message):
    with pytest.raises(ValueError, match=message):
        best_placement(load, gpus, slots)


@pytest.mark.parametrize(
    ("changes", "message"), [({"limit_s": 0}, "limit_s must be > 0, got 0"), ({"gap": 1}, r"gap must be in \[0, 1\)")]
)
def test_limits_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SolverConfig(**changes)
