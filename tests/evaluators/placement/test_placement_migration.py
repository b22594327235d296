import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_cluster_kit import UNIT, clusters, drawn_slots, sized

from evolve.evaluators.placement.migration import Moves, moved

# GPUs hold (0 1)(2 3)(4 5)(6 7).
BEFORE = np.arange(8)[None]
UNEVEN = sized(expert_bytes=6.0, nvlink_bytes_s=3.0, network_bytes_s=2.0)


def test_slots_that_change_places_on_a_gpu_cost_nothing():
    assert moved(BEFORE, np.array([[1, 0, 3, 2, 5, 4, 7, 6]]), UNIT, 8) == Moves(0, 0.0, 0.0, 0.0)


def test_an_expert_of_the_same_node_comes_over_nvlink():
    after = np.array([[0, 2, 1, 3, 4, 5, 6, 7]])
    assert moved(BEFORE, after, UNEVEN, 8) == Moves(2, 12.0, 0.0, 2.0)


def test_an_expert_of_another_node_comes_over_the_network():
    after = np.array([[0, 1, 2, 4, 3, 5, 6, 7]])
    assert moved(BEFORE, after, UNEVEN, 8) == Moves(2, 0.0, 12.0, 3.0)


def test_the_gpu_that_fetches_longest_decides():
    # GPU 0 fetches 3 over NVLink and 5 over the network, GPU 2 fetches 1 over the network.
    before, after = np.array([[0, 1, 2, 3, 4, 5, 6, 7]]), np.array([[3, 5, 2, 0, 4, 1, 6, 7]])
    assert moved(before, after, UNEVEN, 8) == Moves(4, 6.0 * 2, 6.0 * 2, 6 / 3 + 6 / 2)


def test_an_expert_for_two_slots_of_a_gpu_is_fetched_once():
    before, after = np.array([[0, 1, 2, 3, 0, 1, 2, 3]]), np.array([[2, 2, 0, 1, 0, 1, 3, 3]])
    # GPU 0 needs 2 and GPU 1 needs 0 and 1, all from their own node.
    assert moved(before, after, UNIT, 4) == Moves(3, 3.0, 0.0, 2.0)


def test_layers_add_up_on_each_gpu():
    before = np.tile(BEFORE, (2, 1))
    after = np.array([[0, 2, 1, 3, 4, 5, 6, 7], [2, 1, 0, 3, 4, 5, 6, 7]])
    assert moved(before, after, UNEVEN, 8) == Moves(4, 24.0, 0.0, 4.0)


def test_placements_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"before has shape \(1, 8\) but after has shape \(2, 8\)"):
        moved(BEFORE, np.tile(BEFORE, (2, 1)), UNIT, 8)


@given(clusters(), st.integers(0, 2**32))
@settings(deadline=None)  # a shared machine may stall
def test_a_placement_that_stays_moves_nothing(cluster, seed):
    slots = drawn_slots(np.random.default_rng(seed), 2, cluster.slots, cluster.gpus)
    assert moved(slots, slots, cluster, cluster.gpus) == Moves(0, 0.0, 0.0, 0.0)


@given(clusters(), st.integers(0, 2**32))
@settings(deadline=None)  # a shared machine may stall
def test_moves_are_those_of_the_obvious_version(cluster, seed):
    rng = np.random.default_rng(seed)
    experts = int(rng.integers(1, cluster.slots + 1))
    before, after = drawn_slots(rng, 2, cluster.slots, experts), drawn_slots(rng, 2, cluster.slots, experts)
    intra, inter = np.zeros(cluster.gpus), np.zeros(cluster.gpus)
    for layer in range(2):
        for gpu in range(cluster.gpus):
            node = gpu // cluster.gpus_per_node
            own = set(before[layer].reshape(cluster.gpus, -1)[gpu].tolist())
            near = set(before[layer].reshape(cluster.nodes, -1)[node].tolist())
            needed = set(after[layer].reshape(cluster.gpus, -1)[gpu].tolist()) - own
            intra[gpu] += len(needed & near)
            inter[gpu] += len(needed - near)
    found = moved(before, after, cluster, experts)
    size = cluster.expert_bytes
    assert found.slots == intra.sum() + inter.sum()
    assert found.intra_bytes == pytest.approx(intra.sum() * size)
    assert found.inter_bytes == pytest.approx(inter.sum() * size)
    assert found.seconds == pytest.approx((intra * size / cluster.nvlink_bytes_s + inter * size / cluster.network_bytes_s).max())
