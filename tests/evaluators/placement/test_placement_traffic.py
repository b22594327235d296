import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_cluster_kit import UNIT, clusters, drawn_share, drawn_slots, drawn_tokens, sized

from evolve.evaluators.placement.placement import uniform_share
from evolve.evaluators.placement.traffic import Dedup, chosen_slots, deduplicated, traffic

GOLDEN = (5**0.5 - 1) / 2


def slowly_chosen(slots, share, tokens):
    """The slow obvious version."""
    chosen = np.empty(tokens.shape, dtype=int)
    for (layer, token, rank), expert in np.ndenumerate(tokens):
        number, end = (token + 1) * GOLDEN % 1, 0.0
        held = np.flatnonzero(slots[layer] == expert)
        for slot in held:
            end += share[layer, slot]
            chosen[layer, token, rank] = slot
            if number < end:
                break
    return chosen


def test_tokens_are_divided_among_replicas_by_their_numbers():
    # The numbers of the first four tokens are .618, .236, .854 and .472.
    slots = np.array([[0, 1, 0, 1, 1, 0, 2, 3]])
    share = np.array([[0.3, 0.25, 0.5, 0.5, 0.25, 0.2, 1, 1]])
    tokens = np.array([[[0, 1], [0, 1], [0, 1], [2, 3]]])
    assert chosen_slots(slots, share, tokens, 4).tolist() == [[[2, 3], [0, 1], [5, 4], [6, 7]]]


def test_a_slot_without_a_share_gets_no_token():
    slots = np.array([[0, 0, 0]])
    tokens = np.zeros((1, 200, 1), dtype=int)
    for kept in range(3):
        share = np.eye(3)[kept : kept + 1]
        assert (chosen_slots(slots, share, tokens, 1) == kept).all()


def test_a_sample_is_divided_almost_exactly_as_the_share_says():
    slots = np.array([[0, 0, 0, 0]])
    share = np.array([[0.1, 0.2, 0.3, 0.4]])
    chosen = chosen_slots(slots, share, np.zeros((1, 256, 1), dtype=int), 1)
    # A stretch of Kronecker's sequence of 256 numbers misses an interval's share by a few numbers; draws would miss it by 8.
    assert np.abs(np.bincount(chosen.ravel()) - 256 * share[0]).max() < 3


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 6), st.integers(0, 6), st.integers(1, 9))
@settings(deadline=None)  # a shared machine may stall
def test_choices_are_those_of_the_obvious_version(seed, layers, experts, extra, n):
    rng = np.random.default_rng(seed)
    slots = drawn_slots(rng, layers, experts + extra, experts)
    tokens = drawn_tokens(rng, layers, n, experts, min(3, experts))
    share = drawn_share(rng, slots)
    assert (chosen_slots(slots, share, tokens, experts) == slowly_chosen(slots, share, tokens)).all()


def test_a_token_to_two_experts_of_a_gpu_or_node_arrives_once():
    # GPUs hold (0 1)(2 3)(4 5)(6 7), nodes (0 1 2 3)(4 5 6 7).
    slots = np.arange(8)[None]
    tokens = np.array([[[0, 1], [0, 2], [4, 6], [1, 4]]])
    found = deduplicated(UNIT, slots, np.ones((1, 8)), tokens, 8)
    # GPU 0: 4 choices of 3 tokens; GPU 1: 1 of 1; GPU 2: 2 of 2; GPU 3: 1 of 1. Nodes: 5 of 3 and 3 of 2.
    assert found.gpus.tolist() == [[3 / 4, 1, 1, 1]]
    assert found.nodes.tolist() == [[3 / 5, 2 / 3]]


def test_a_gpu_that_no_sampled_token_goes_to_is_taken_to_save_nothing():
    found = deduplicated(UNIT, np.arange(8)[None], np.ones((1, 8)), np.array([[[0, 1]]]), 8)
    assert found.gpus.tolist() == [[0.5, 1, 1, 1]]
    assert found.nodes.tolist() == [[0.5, 1]]


def test_without_a_sample_every_choice_is_a_token():
    found = deduplicated(UNIT, np.arange(8)[None], np.ones((1, 8)), None, 8)
    assert found.gpus.tolist() == [[1, 1, 1, 1]]
    assert found.nodes.tolist() == [[1, 1]]


def test_tokens_that_start_where_they_go_do_not_travel():
    # Half of what a GPU gets starts, or is handed on, at itself in a node of two; half of what a node gets starts in one of two.
    sent = traffic(UNIT, np.array([[10.0, 20, 30, 40]]), Dedup(np.array([[1, 0.5, 1, 0.5]]), np.array([[0.5, 0.25]])))
    assert sent.intra.tolist() == [[5, 5, 15, 10]]
    assert sent.inter.tolist() == [[7.5, 8.75]]


def test_nothing_travels_over_links_that_are_not_there():
    one_node, lone_gpus = sized(nodes=1), sized(nodes=4)
    even = Dedup(np.ones((1, 4)), np.ones((1, 1)))
    assert traffic(one_node, np.ones((1, 4)), even).inter.tolist() == [[0]]
    assert traffic(lone_gpus, np.ones((1, 4)), Dedup(np.ones((1, 4)), np.ones((1, 4)))).intra.tolist() == [[0] * 4]


@given(clusters(), st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 9))
@settings(deadline=None)  # a shared machine may stall
def test_ratios_are_those_of_the_obvious_version(cluster, seed, k, n):
    rng = np.random.default_rng(seed)
    experts = int(rng.integers(1, cluster.slots + 1))
    slots = drawn_slots(rng, 2, cluster.slots, experts)
    share = uniform_share(slots, experts)
    tokens = drawn_tokens(rng, 2, n, experts, min(k, experts))
    found = deduplicated(cluster, slots, share, tokens, experts)
    chosen = slowly_chosen(slots, share, tokens)
    for ratios, room in ((found.gpus, cluster.slots_per_gpu), (found.nodes, cluster.slots_per_node)):
        for (layer, receiver), ratio in np.ndenumerate(ratios):
            there = chosen[layer] // room == receiver
            assert ratio == (there.any(-1).sum() / there.sum() if there.any() else 1.0)
