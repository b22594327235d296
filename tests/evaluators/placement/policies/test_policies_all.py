import numpy as np
import pytest
from hypothesis import given, settings
from policies_kit import counts, gpu_loads, place_of, problem, problems

from evolve.evaluators.placement.catalog import POLICIES

ALL = pytest.mark.parametrize("name", POLICIES)


def placed(name, one, current=None):
    slots = place_of(name)(one.weight, None, current, one.cluster)
    assert slots.shape == (len(one.weight), one.slots)
    assert slots.dtype == np.int64
    assert slots.min() >= 0
    # bincount of an expert that does not exist would have another shape.
    assert counts(slots, one.experts).shape == one.weight.shape
    assert counts(slots, one.experts).min() >= 1
    return slots


@ALL
@settings(max_examples=60)
@given(one=problems())
def test_every_expert_has_a_slot_and_the_next_call_answers_the_same(name, one):
    first = placed(name, one)
    assert (placed(name, one) == first).all()
    first.setflags(write=False)
    again = placed(name, one, first)
    if not POLICIES[name].migrates:
        assert (again == first).all()


@pytest.mark.parametrize("name", [name for name, policy in POLICIES.items() if policy.grouped])
@settings(max_examples=60)
@given(one=problems(groups_divide=True))
def test_a_groups_replicas_lie_on_one_node(name, one):
    first = placed(name, one)
    for slots in (first, placed(name, one, first[:, ::-1])):
        nodes = np.arange(one.slots) // (one.slots // one.nodes)
        for row in slots:
            groups = row // (one.experts // one.groups)
            assert all(len(set(nodes[groups == group])) == 1 for group in range(one.groups))


@ALL
def test_without_spare_slots_every_expert_has_one(name):
    one = problem(np.random.default_rng(0).integers(1, 99, (3, 12)), nodes=2, gpus=4, groups=4)
    assert (np.sort(placed(name, one)) == np.arange(12)).all()


@ALL
def test_one_gpu_takes_everything(name):
    assert (counts(placed(name, problem([[3, 2, 1]], slots=7)), 3).sum(axis=1) == 7).all()


@ALL
def test_no_load_at_all_is_placed_as_well(name):
    placed(name, problem(np.zeros((2, 8)), nodes=2, gpus=4, slots=16, groups=4))


@ALL
def test_groups_that_do_not_divide_over_the_nodes_are_placed(name):
    placed(name, problem(np.arange(30).reshape(2, 15), nodes=2, gpus=4, slots=20, groups=3))


@ALL
def test_a_load_for_each_slot_of_its_own_scale_is_placed(name):
    placed(name, problem(np.geomspace(1e-300, 1e30, 16).reshape(2, 8), nodes=2, gpus=4, slots=12, groups=4))


def test_slots_repeat_the_experts_where_nothing_is_balanced():
    assert placed("none", problem([[5, 1, 1], [1, 1, 5]], slots=7)).tolist() == [[0, 1, 2, 0, 1, 2, 0]] * 2


def test_chance_depends_on_the_shape_and_not_on_the_load():
    one, other = (problem(rows, gpus=2, slots=12) for rows in (np.zeros((2, 8)), np.arange(16).reshape(2, 8)))
    slots = placed("random", one)
    assert (slots == placed("random", other)).all()
    assert (slots[0] != slots[1]).any()


def test_balance_is_ordered_as_published():
    """On lognormal loads (sigma 1) of the published problem: global above hierarchical above its faster variants."""
    weight = np.floor(np.random.default_rng(0).lognormal(0, 1, (58, 256)) * 1e4)
    one = problem(weight, nodes=4, gpus=32, slots=288, groups=8)
    balance = {}
    for name in POLICIES:
        loads = gpu_loads(one, placed(name, one))
        balance[name] = loads.mean(axis=1).sum() / loads.max(axis=1).sum()
    assert balance["lpt_local_search"] > 0.999 > balance["deepseek_global"]
    assert min(balance["deepseek_global"], balance["round_lpt"]) > 0.99
    assert 0.94 > balance["deepseek_hierarchical"] > balance["thue_morse"] > balance["snake"] > 0.88
    assert max(balance["none"], balance["random"]) < 0.5
    assert balance["minimum_migration"] == balance["deepseek_global"]
    assert balance["minimum_migration_grouped"] == balance["deepseek_hierarchical"]
