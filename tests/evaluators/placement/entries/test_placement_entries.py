import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.evaluators.placement.catalog import FORECASTERS, POLICIES, source

CLUSTER = {"nodes": 2, "gpus": 4, "slots": 20, "groups": 4, "experts": 16}


def program(*parts):
    names = {}
    exec(compile(source(*parts), "/".join(parts), "exec"), names)
    return names


@pytest.mark.parametrize("forecaster", FORECASTERS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_plan_is_the_policys_placement_for_the_forecast(policy, forecaster):
    names = program(policy, forecaster, "plan")
    history = np.random.default_rng(0).integers(0, 99, (5, 3, 16))
    current = np.random.default_rng(1).integers(0, 16, (3, 20))
    tokens = np.random.default_rng(2).integers(0, 16, (5, 3, 7, 2), dtype=np.int16)
    for array in (history, tokens, current):
        array.setflags(write=False)
    for before in (None, current):
        slots = names["plan"](history, tokens, before, CLUSTER)
        assert (slots == names["place"](names["forecast"](history), tokens, before, CLUSTER)).all()


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), spare=st.integers(0, 2))
def test_the_three_maps_agree(policy, seed, spare):
    weight = np.random.default_rng(seed).integers(0, 50, (2, 16))
    replicas = 16 + 4 * spare
    slots, of_expert, count = program(policy, "last_window", "rebalance")["rebalance_experts"](weight, replicas, 4, 2, 4)
    assert slots.shape == (2, replicas)
    assert count.shape == (2, 16)
    assert of_expert.shape == (2, 16, count.max())
    assert {array.dtype for array in (slots, of_expert, count)} == {np.dtype(np.int64)}
    for layer in range(2):
        for expert in range(16):
            mine = np.flatnonzero(slots[layer] == expert).tolist()
            assert count[layer, expert] == len(mine)
            assert of_expert[layer, expert].tolist() == mine + [-1] * (count.max() - len(mine))


def test_the_published_example_as_it_is_called():
    weight = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]]
    answer = program("deepseek_hierarchical", "last_window", "rebalance")["rebalance_experts"](np.array(weight), 16, 4, 2, 8)
    assert answer[0][0].tolist() == [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1]
    assert answer[1][0, :3].tolist() == [[12, -1], [13, 15], [11, -1]]
    assert answer[2][0].tolist() == [1, 2, 1, 1, 2, 2, 1, 1, 1, 1, 2, 1]
