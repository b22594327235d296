from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_kit import place_of, problem, problems, program_of

NETWORK = program_of("minimum_migration")["NETWORK"]


def cost(packs, before, nodes):
    """What one layer's packs cost that lie on the GPUs in this order, where GPUs held ``before``."""
    per_node = len(packs) // nodes
    total = 0.0
    for gpu, pack in enumerate(packs):
        node = gpu // per_node * per_node
        near = {expert for held in before[node : node + per_node] for expert in held}
        total += sum(0.0 if expert in before[gpu] else 1.0 if expert in near else NETWORK for expert in pack)
    return total


def packs_of(slots, gpus):
    return [[pack.tolist() for pack in row.reshape(gpus, -1)] for row in slots]


def in_blocks(gpus, nodes):
    """All orders of GPUs that keep those of a node together."""
    size = gpus // nodes
    for blocks in permutations(range(nodes)):
        for inner in product(permutations(range(size)), repeat=nodes):
            yield [block * size + gpu for block, order in zip(blocks, inner, strict=True) for gpu in order]


@st.composite
def moves(draw, **options):
    """A problem, and a placement in force that has nothing to do with it."""
    one = draw(problems(max_layers=2, **options))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return one, rng.integers(one.experts, size=(len(one.weight), one.slots))


@settings(max_examples=100)
@given(moves())
def test_packs_are_the_global_policys_at_the_least_cost(move):
    one, current = move
    current.setflags(write=False)
    found = packs_of(place_of("minimum_migration")(one.weight, None, current, one.cluster), one.gpus)
    wanted = packs_of(place_of("deepseek_global")(one.weight, None, None, one.cluster), one.gpus)
    for new, packs, before in zip(found, wanted, packs_of(current, one.gpus), strict=True):
        assert sorted(map(sorted, new)) == sorted(map(sorted, packs))
        orders = permutations(packs)
        assert cost(new, before, one.nodes) == min(cost(order, before, one.nodes) for order in orders)


@settings(max_examples=100)
@given(moves(groups_divide=True))
def test_grouped_packs_are_the_hierarchical_policys_at_the_least_cost(move):
    one, current = move
    found = packs_of(place_of("minimum_migration_grouped")(one.weight, None, current, one.cluster), one.gpus)
    wanted = packs_of(place_of("deepseek_hierarchical")(one.weight, None, None, one.cluster), one.gpus)
    for new, packs, before in zip(found, wanted, packs_of(current, one.gpus), strict=True):
        assert sorted(map(sorted, new)) == sorted(map(sorted, packs))
        orders = ([packs[gpu] for gpu in order] for order in in_blocks(one.gpus, one.nodes))
        assert cost(new, before, one.nodes) == min(cost(order, before, one.nodes) for order in orders)


@settings(max_examples=60)
@given(moves(), st.sampled_from(["minimum_migration", "minimum_migration_grouped"]))
def test_an_expert_that_stays_on_its_gpu_keeps_a_slot(move, name):
    """As many slots of a GPU are unchanged as its old and new experts have in common, counted with repetition."""
    one, current = move
    slots = place_of(name)(one.weight, None, current, one.cluster)
    for new, old in zip(slots.reshape(-1, one.slots // one.gpus), current.reshape(-1, one.slots // one.gpus), strict=True):
        common = np.minimum(np.bincount(new, minlength=one.experts), np.bincount(old, minlength=one.experts)).sum()
        assert (new == old).sum() == common


@pytest.mark.parametrize("name", ["minimum_migration", "minimum_migration_grouped"])
def test_nothing_moves_where_the_load_stays(name):
    one = problem(np.random.default_rng(2).integers(1, 999, (5, 32)), nodes=2, gpus=8, slots=40, groups=4)
    slots = place_of(name)(one.weight, None, None, one.cluster)
    assert (place_of(name)(one.weight, None, slots, one.cluster) == slots).all()


def test_nodes_change_places_as_a_whole():
    """The placement in force is the policy's own with the two nodes exchanged."""
    one = problem(np.random.default_rng(3).integers(1, 999, (5, 32)), nodes=2, gpus=8, slots=40, groups=4)
    name = "minimum_migration_grouped"
    current = np.roll(place_of(name)(one.weight, None, None, one.cluster), 20, axis=1)
    assert (place_of(name)(one.weight, None, current, one.cluster) == current).all()
