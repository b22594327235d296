import numpy as np
import pytest
from hypothesis import given, settings
from policies_kit import counts, gpu_loads, place_of, problem, problems, slow_balance, slow_replicate

FALLING = problem([[8, 7, 6, 5, 4, 3, 2, 1]], gpus=2)


def slots_of(name, one):
    return place_of(name)(one.weight, None, None, one.cluster)


def test_a_snake_turns_around_after_each_round():
    assert slots_of("snake", FALLING).tolist() == [[0, 3, 4, 7, 1, 2, 5, 6]]


def test_directions_of_rounds_follow_thue_and_morse():
    """Rounds 0 to 3 have 0, 1, 1 and 2 ones: forwards, backwards, backwards, forwards."""
    assert slots_of("thue_morse", FALLING).tolist() == [[0, 3, 5, 6, 1, 2, 4, 7]]


@settings(max_examples=100)
@given(problems(max_nodes=1))
def test_marginal_gains_at_once_are_the_greedy_loop(one):
    assert (counts(slots_of("thue_morse", one), one.experts) == counts(slots_of("snake", one), one.experts)).all()


def test_slots_are_apportioned_by_the_largest_remainders():
    """Quotas of 6 slots: 2.9, 1.4, 1.3 and .4; the whole ones take 2 + 1 + 1 + 1 (at least one), .9 the one that is left."""
    one = problem([[29, 14, 13, 4]], slots=6)
    assert counts(slots_of("round_lpt", one), 4).tolist() == [[3, 1, 1, 1]]


def test_rounds_give_the_heaviest_to_the_lightest_gpu():
    """Quotas 3, 1.5, 1, .5: replicas of 2, 2, 2 (expert 0), 3 (1), 2 (2) and 1 (3).

    Rounds: 3 and 2; then 2 to GPU 1 with 2, 2 to GPU 0 with 3; then 2 to GPU 1 with 4, 1 to GPU 0 with 5.
    """
    assert slots_of("round_lpt", problem([[6, 3, 2, 1]], gpus=2, slots=6)).tolist() == [[1, 0, 3, 0, 0, 2]]


def test_a_threshold_is_searched_where_quotas_take_too_many_slots():
    """Quotas 5.8 and three of .06 would take 5 + 3 slots of 6."""
    assert counts(slots_of("round_lpt", problem([[100, 1, 1, 1]], slots=6)), 4).tolist() == [[3, 1, 1, 1]]


@settings(max_examples=200)
@given(problems())
def test_the_threshold_is_the_lowest_that_the_slots_allow(one):
    """Greedy replication has the smallest possible load of the busiest replica."""
    found = (one.weight / counts(slots_of("round_lpt", one), one.experts)).max(axis=1)
    for row, most in zip(one.weight, found, strict=True):
        _, copies = slow_replicate(list(row), one.slots)
        least = (row / copies).max()
        assert most >= least * (1 - 1e-12)
        if row.sum() and np.maximum(np.floor(row * one.slots / row.sum()), 1).sum() > one.slots:
            assert most == pytest.approx(least, rel=1e-9)


def test_slots_of_an_idle_layer_go_to_all_in_turn():
    assert counts(slots_of("round_lpt", problem(np.zeros((1, 4)), slots=10)), 4).tolist() == [[3, 3, 2, 2]]


@settings(max_examples=150)
@given(problems(max_layers=2))
def test_after_the_search_no_swap_cools_the_hottest_gpu(one):
    slots = slots_of("lpt_local_search", one)
    loads = gpu_loads(one, slots)
    start = np.array([slow_balance(list(row), one.slots, 1, one.gpus, 1) for row in one.weight])
    assert (loads.max(axis=1) <= gpu_loads(one, start).max(axis=1) * (1 + 1e-9)).all()
    room = one.slots // one.gpus
    shares = np.take_along_axis(one.weight / counts(slots, one.experts), slots, axis=1).reshape(-1, one.gpus, room)
    for total, share in zip(loads, shares, strict=True):
        hottest = int(total.argmax())
        for other in set(range(one.gpus)) - {hottest}:
            gain = share[hottest][:, None] - share[other]
            after = np.maximum(total[hottest] - gain, total[other] + gain)
            assert (after >= total[hottest] * (1 - 1e-9)).all()


def test_a_swap_is_found_where_packing_left_a_gap():
    """Heaviest first gives 3 + 2 + 2 = 7 and 3 + 2 + 0; 3 + 3 + 0 and 2 + 2 + 2 are as even as can be."""
    one = problem([[3, 3, 2, 2, 2, 0]], gpus=2)
    assert sorted(gpu_loads(one, slots_of("deepseek_global", one))[0]) == [5, 7]
    assert sorted(gpu_loads(one, slots_of("lpt_local_search", one))[0]) == [6, 6]
