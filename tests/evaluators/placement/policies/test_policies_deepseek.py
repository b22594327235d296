import numpy as np
import pytest
from hypothesis import given, settings
from policies_kit import place_of, problem, problems, slow_balance

#: The worked example in the README of DeepSeek's EPLB: weights, and the experts of the slots that it prints.
EXAMPLE = problem(
    [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]],
    nodes=2,
    gpus=8,
    slots=16,
    groups=4,
)
PRINTED = [[5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1], [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1]]


@pytest.mark.parametrize("name", ["deepseek_hierarchical", "minimum_migration_grouped"])
def test_the_published_example_comes_out_slot_for_slot(name):
    assert place_of(name)(EXAMPLE.weight, None, None, EXAMPLE.cluster).tolist() == PRINTED


@settings(max_examples=300)
@given(problems())
def test_it_is_the_slow_version_slot_for_slot(one):
    layers = [[np.float32(load) for load in row] for row in one.weight]
    nested = [slow_balance(row, one.slots, one.nodes, one.gpus, one.groups) for row in layers]
    flat = [slow_balance(row, one.slots, 1, one.gpus, 1) for row in layers]
    assert place_of("deepseek_hierarchical")(one.weight, None, None, one.cluster).tolist() == nested
    assert place_of("deepseek_global")(one.weight, None, None, one.cluster).tolist() == flat
    assert place_of("minimum_migration")(one.weight, None, None, one.cluster).tolist() == flat


def test_groups_that_do_not_divide_over_the_nodes_are_balanced_globally():
    one = problem(np.random.default_rng(1).integers(1, 99, (4, 15)), nodes=2, gpus=4, slots=20, groups=3)
    both = [place_of(name)(one.weight, None, None, one.cluster) for name in ("deepseek_hierarchical", "deepseek_global")]
    assert (both[0] == both[1]).all()


def test_without_any_load_the_first_expert_gets_the_spare_slots():
    one = problem(np.zeros((1, 4)), gpus=2, slots=8)
    slots = place_of("deepseek_global")(one.weight, None, None, one.cluster)
    assert sorted(slots[0]) == [0, 0, 0, 0, 0, 1, 2, 3]
