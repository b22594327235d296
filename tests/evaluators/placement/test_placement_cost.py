import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_cluster_kit import UNIT, clusters, drawn_share, drawn_slots, drawn_tokens, sized

from evolve.evaluators.placement.cost import ideal_step, step_cost
from evolve.evaluators.placement.placement import uniform_share

APART = np.arange(8)[None]
ONES = np.ones((1, 8))


def test_a_step_worked_by_hand():
    # Arithmetic rules: GPUs get 3, 7, 11, 15 choices, and hold 2 experts. Without a sample, half of 15 comes over NVLink to GPU 3,
    # and half of the 26 of node 1 over its two network cards.
    cost = step_cost(UNIT, APART, ONES, np.array([[1, 2, 3, 4, 5, 6, 7, 8]]), None)
    assert cost.compute.tolist() == [15]
    assert cost.dispatch.tolist() == [7.5 + 13 / 2]
    assert cost.combine.tolist() == [14]
    assert cost.step.tolist() == [43]
    assert cost.seconds == 43
    # 36 / 2 tokens over NVLink and 36 / 2 over the network, each of one byte, there and back.
    assert (cost.intra_bytes.tolist(), cost.inter_bytes.tolist()) == ([36], [36])


def test_every_rate_and_size_counts_where_it_should():
    cluster = sized(
        flops=2.0, flops_per_token=3.0, hidden=5, dispatch_bytes=1.0, combine_bytes=2.0, nvlink_bytes_s=4.0, network_bytes_s=8.0,
        latency_s=0.25,
    )  # fmt: skip
    cost = step_cost(cluster, APART, ONES, np.array([[1, 2, 3, 4, 5, 6, 7, 8]]), None)
    assert cost.compute.tolist() == [15 * 3 / 2]
    # Bytes that GPU 3 gets over NVLink, and that each of two cards of node 1 gets, in one direction with one byte an element.
    assert cost.dispatch.tolist() == [7.5 * 5 / 4 + 13 * 5 / (8 * 2) + 0.25]
    assert cost.combine.tolist() == [2 * (7.5 * 5 / 4 + 13 * 5 / (8 * 2)) + 0.25]
    assert cost.intra_bytes.tolist() == [18 * 5 * 3]


def test_with_few_tokens_reading_the_weights_rules():
    cluster = sized(memory_bytes_s=0.5, expert_bytes=3.0)
    load = np.array([[0.1, 0.2, 0, 0, 0, 0, 0, 0]])
    cost = step_cost(cluster, APART, ONES, load, None)
    assert cost.compute[0] == pytest.approx((1 - np.exp(-0.1) + 1 - np.exp(-0.2)) * 3 / 0.5)


def test_replicas_on_one_gpu_are_read_once():
    cluster = sized(memory_bytes_s=1e-3)
    together, apart = np.array([[0, 0, 1, 2, 3, 4, 5, 6]]), np.array([[0, 1, 0, 2, 3, 4, 5, 6]])
    load = np.array([[2.0, 0, 0, 0, 0, 0, 0]])
    once = step_cost(cluster, together, uniform_share(together, 7), load, None)
    assert once.compute[0] == pytest.approx((1 - np.exp(-2.0)) * 1e3)
    twice = step_cost(cluster, apart, uniform_share(apart, 7), load, None)
    assert twice.compute[0] == pytest.approx((1 - np.exp(-1.0)) * 1e3)


@pytest.mark.parametrize(("overlap", "step"), [(0.0, 43.0), (0.5, 35.5), (1.0, 28.0)])
def test_overlap_hides_the_shorter_of_computation_and_communication(overlap, step):
    cost = step_cost(sized(overlap=overlap), APART, ONES, np.array([[1, 2, 3, 4, 5, 6, 7, 8]]), None)
    assert cost.step.tolist() == [step]


def test_experts_that_tokens_choose_together_are_cheaper_on_one_gpu():
    tokens = np.array([[[0, 1], [2, 3], [4, 5], [6, 7]]])
    together = step_cost(UNIT, APART, ONES, ONES, tokens)
    apart = step_cost(UNIT, np.array([[0, 2, 4, 6, 1, 3, 5, 7]]), ONES, ONES, tokens)
    # Each GPU gets one token, and each node two, instead of twice as many.
    assert together.dispatch.tolist() == [0.5 + 1 / 2]
    assert apart.dispatch.tolist() == [1 + 2 / 2]
    assert together.compute == apart.compute


def test_groups_that_stay_on_a_node_save_network_when_routing_is_limited_to_groups():
    # Tokens choose two experts of one group of four.
    tokens = np.array([[[0, 1], [2, 3], [0, 3], [4, 5], [6, 7], [4, 7]]])
    grouped = step_cost(UNIT, APART, ONES, ONES, tokens)
    mixed = step_cost(UNIT, np.array([[0, 4, 2, 6, 1, 5, 3, 7]]), ONES, ONES, tokens)
    assert grouped.inter_bytes[0] < mixed.inter_bytes[0]


def test_one_gpu_alone_communicates_nothing():
    cluster = sized(nodes=1, gpus=1, latency_s=1.0)
    cost = step_cost(cluster, APART, ONES, ONES, None)
    assert (cost.dispatch.tolist(), cost.combine.tolist(), cost.step.tolist()) == ([0], [0], [8])
    assert ideal_step(cluster, ONES).tolist() == [8]


def test_an_even_placement_without_a_sample_reaches_the_ideal_step():
    cost = step_cost(UNIT, APART, ONES, 10 * ONES, None)
    assert cost.step.tolist() == ideal_step(UNIT, 10 * ONES).tolist() == [20 + 2 * (10 + 20 / 2)]


def test_experts_that_lie_together_for_every_token_reach_the_ideal_step():
    tokens = np.array([[[0, 1, 2, 3], [4, 5, 6, 7]]])
    # Two of four on each GPU, all four on a node: half of the choices arrive at GPUs, a quarter at nodes.
    for gpus in (2, 4):
        cost = step_cost(sized(gpus=gpus), APART, ONES, 10 * ONES, tokens)
        assert cost.step.tolist() == ideal_step(sized(gpus=gpus), 10 * ONES, k=4).tolist()


@given(clusters(), st.integers(0, 2**32), st.integers(1, 5), st.sampled_from([0.02, 1.0, 1e4]), st.booleans())
@settings(deadline=None)  # a shared machine may stall
def test_no_placement_and_no_share_is_better_than_the_ideal_step(cluster, seed, k, scale, sampled):
    rng = np.random.default_rng(seed)
    experts = int(rng.integers(1, cluster.slots + 1))
    k = min(k, experts)
    slots = drawn_slots(rng, 3, cluster.slots, experts)
    load = rng.lognormal(0, 1.5, (3, experts)) * scale
    tokens = drawn_tokens(rng, 3, int(rng.integers(1, 12)), experts, k) if sampled else None
    ideal = ideal_step(cluster, load, k if sampled else 1)
    for share in (uniform_share(slots, experts), drawn_share(rng, slots)):
        cost = step_cost(cluster, slots, share, load, tokens)
        assert (ideal <= cost.step * (1 + 1e-12)).all()
        assert (cost.step <= (cost.compute + cost.dispatch + cost.combine) * (1 + 1e-12)).all()


@given(clusters(), st.integers(0, 2**32))
@settings(deadline=None)  # a shared machine may stall
def test_layers_are_priced_apart(cluster, seed):
    rng = np.random.default_rng(seed)
    experts = int(rng.integers(1, cluster.slots + 1))
    slots, load = drawn_slots(rng, 3, cluster.slots, experts), rng.lognormal(0, 1, (3, experts))
    share, tokens = drawn_share(rng, slots), drawn_tokens(rng, 3, 7, experts, 1)
    whole = step_cost(cluster, slots, share, load, tokens)
    for layer in range(3):
        alone = slice(layer, layer + 1)
        part = step_cost(cluster, slots[alone], share[alone], load[alone], tokens[alone])
        assert whole.step[alone] == pytest.approx(part.step)
