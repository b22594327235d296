import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_cluster_kit import clusters, drawn_share, drawn_slots
from placement_scenario_kit import FOLLOWS, HIERARCHICAL, STILL, TINY, Told, drawn_scenario, drawn_trace, in_turn, local

from evolve.evaluators.base import Invalid
from evolve.evaluators.placement.placement import uniform_share
from evolve.evaluators.placement.scenario import Rules, Scenario
from evolve.evaluators.placement.simulator import replay

#: Of `TINY`'s start, GPU by GPU: 0 1 2 | 3 4 5 || 6 7 0 | 1 2 3.
START = [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]


def both_layers(row):
    return np.array([row, row])


def slow_replay(placements, shares, scenario):
    """Step, ideal and copying seconds of each window, written out as the documentation of costs says."""
    cluster, trace = scenario.cluster, scenario.trace
    before, found = scenario.start, []
    for moment, slots, share in zip(scenario.moments, placements, shares, strict=True):
        load = moment.load / trace.steps_per_window
        tokens = [None] * trace.layers if moment.tokens is None else moment.tokens
        k = 1 if moment.tokens is None else trace.k
        step = sum(slow_step(cluster, slots[layer], share[layer], load[layer], tokens[layer]) for layer in range(trace.layers))
        ideal = sum(slow_ideal(cluster, load[layer], k) for layer in range(trace.layers))
        found.append((step, ideal, slow_move(cluster, before, slots)))
        before = slots
    return np.array(found).T


def slow_step(cluster, slots, share, load, tokens):
    gpus, room = range(cluster.gpus), cluster.slots_per_gpu
    choices, used = [0.0] * cluster.gpus, [0.0] * cluster.gpus
    for gpu in gpus:
        arrived = {}
        for slot in range(gpu * room, (gpu + 1) * room):
            arrived[slots[slot]] = arrived.get(slots[slot], 0.0) + load[slots[slot]] * share[slot]
        choices[gpu] = sum(arrived.values())
        used[gpu] = sum(1 - np.exp(-tokens_of_one) for tokens_of_one in arrived.values())
    intra, inter = slow_crossings(cluster, slots, share, choices, tokens)
    return seconds(cluster, max(choices), max(used), intra, inter)


def slow_crossings(cluster, slots, share, choices, tokens):
    """The largest numbers of tokens that a GPU gets over NVLink, and a node over the network."""
    per_node = cluster.gpus_per_node
    of_node = [sum(choices[node * per_node : (node + 1) * per_node]) for node in range(cluster.nodes)]
    at_gpu, at_node = [1.0] * cluster.gpus, [1.0] * cluster.nodes
    if tokens is not None:
        went = [
            [slow_slot(slots, share, expert, place) // cluster.slots_per_gpu for expert in of] for place, of in enumerate(tokens)
        ]
        for gpu in range(cluster.gpus):
            all_choices = sum(here.count(gpu) for here in went)
            at_gpu[gpu] = sum(gpu in here for here in went) / all_choices if all_choices else 1.0
        for node in range(cluster.nodes):
            nodes = [[gpu // per_node for gpu in here] for here in went]
            all_choices = sum(here.count(node) for here in nodes)
            at_node[node] = sum(node in here for here in nodes) / all_choices if all_choices else 1.0
    intra = max(choice * ratio * (1 - 1 / per_node) for choice, ratio in zip(choices, at_gpu, strict=True))
    return intra, max(choice * ratio * (1 - 1 / cluster.nodes) for choice, ratio in zip(of_node, at_node, strict=True))


def slow_slot(slots, share, expert, place):
    number = (place + 1) * ((5**0.5 - 1) / 2) % 1
    replicas = [slot for slot, held in enumerate(slots) if held == expert]
    end = 0.0
    for slot in replicas:
        end += share[slot]
        if number < end:
            return slot
    return replicas[-1]


def slow_ideal(cluster, load, k):
    total, per_node = sum(load), cluster.gpus_per_node
    used = sum(1 - np.exp(-one) for one in load) / cluster.gpus
    intra = total / cluster.gpus / min(k, cluster.slots_per_gpu) * (1 - 1 / per_node)
    inter = total / cluster.nodes / min(k, cluster.slots_per_node) * (1 - 1 / cluster.nodes)
    return seconds(cluster, total / cluster.gpus, used, intra, inter)


def seconds(cluster, choices, used, intra, inter):
    compute = max(choices * cluster.flops_per_token / cluster.flops, used * cluster.expert_bytes / cluster.memory_bytes_s)
    a_byte = cluster.hidden * (intra / cluster.nvlink_bytes_s + inter / (cluster.network_bytes_s * cluster.gpus_per_node))
    latency = cluster.latency_s if cluster.gpus > 1 else 0.0
    communication = a_byte * (cluster.dispatch_bytes + cluster.combine_bytes) + 2 * latency
    return compute + communication - cluster.overlap * min(compute, communication)


def slow_move(cluster, before, slots):
    room, per_node, longest = cluster.slots_per_gpu, cluster.gpus_per_node, 0.0
    for gpu in range(cluster.gpus):
        takes = 0.0
        node = gpu // per_node
        for layer in range(len(slots)):
            here, there = set(slots[layer][gpu * room : (gpu + 1) * room]), set(before[layer][gpu * room : (gpu + 1) * room])
            near = set(before[layer][node * per_node * room : (node + 1) * per_node * room])
            for expert in here - there:
                takes += cluster.expert_bytes / (cluster.nvlink_bytes_s if expert in near else cluster.network_bytes_s)
        longest = max(longest, takes)
    return longest


@st.composite
def replayed(draw):
    """A scenario on a drawn cluster, and placements and shares for its windows."""
    cluster = draw(clusters())
    experts = draw(st.integers(1, cluster.slots))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k, routed, sampled = draw(st.integers(1, min(experts, 3))), draw(st.booleans()), draw(st.sampled_from([0, 5]))
    trace = drawn_trace(
        int(rng.integers(2**32)), 4, 2, experts, k=k, groups=1, sampled=sampled, steps=draw(st.sampled_from([1, 50]))
    )
    scenario = Scenario(trace, cluster, Rules(history=1, routed=routed))
    placements = [drawn_slots(rng, 2, cluster.slots, experts) for _ in scenario.moments]
    shares = [drawn_share(rng, slots) if routed else uniform_share(slots, experts) for slots in placements]
    return scenario, placements, shares


@settings(max_examples=60, deadline=None)
@given(replayed())
def test_charges_are_those_of_the_model_written_out_slowly(drawn):
    scenario, placements, shares = drawn
    given_shares = iter(shares)
    found = replay(Told(in_turn(placements), lambda load, slots: next(given_shares)), scenario)
    step, ideal, move = slow_replay(placements, shares, scenario)
    assert found.step_s == pytest.approx(step, rel=1e-9)
    assert found.ideal_s == pytest.approx(ideal, rel=1e-9)
    assert found.move_s == pytest.approx(move, rel=1e-9)
    assert np.array_equal(found.slots, placements)
    assert found.charged_s == pytest.approx(step + move / scenario.trace.steps_per_window, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(replayed())
def test_the_ratio_is_above_zero_and_at_most_one_and_load_is_conserved(drawn):
    scenario, placements, shares = drawn
    given_shares = iter(shares)
    found = replay(Told(in_turn(placements), lambda load, slots: next(given_shares)), scenario)
    assert 0 < found.ratio <= 1
    exact = np.stack([scenario.load_of(moment).sum(-1) for moment in scenario.moments])
    assert found.gpu_load.sum(-1) == pytest.approx(exact, rel=1e-9)


def test_a_placement_that_reaches_the_bound_has_ratio_one():
    # One expert on each GPU, all with the same load, and no way to send two choices of a token together: nothing could be better.
    cluster = replace(TINY, slots=4)
    trace = drawn_trace(experts=4, k=1, groups=1, sampled=0)
    even = replace(trace, load=np.full_like(trace.load, 400))
    assert replay(Told(lambda history, tokens, current: current), Scenario(even, cluster, Rules(2))).ratio == 1.0


def test_a_policy_sees_the_windows_before_and_never_the_one_that_it_is_scored_on():
    scenario = drawn_scenario(windows=6, history=2)
    policy = Told(lambda history, tokens, current: current)
    replay(policy, scenario)
    assert len(policy.asked) == 4
    for window, (history, tokens, _) in zip(range(2, 6), policy.asked, strict=True):
        assert np.array_equal(history, scenario.trace.load[window - 2 : window])
        assert np.array_equal(tokens, scenario.trace.tokens[window - 2 : window])
        assert not any(np.array_equal(seen, scenario.trace.load[window]) for seen in history)


@pytest.mark.parametrize("changed", [2, 3, 4, 5])
def test_what_is_asked_before_a_window_does_not_depend_on_it(changed):
    scenario = drawn_scenario(windows=6, history=2)
    other, tokens = scenario.trace.load.copy(), scenario.trace.tokens.copy()
    other[changed:] = other[changed:, :, ::-1] + 1
    tokens[changed:] = 7 - tokens[changed:]
    found = []
    for trace in (scenario.trace, replace(scenario.trace, load=other, tokens=tokens)):
        policy = Told(local(FOLLOWS, scenario).plan)
        replay(policy, replace(scenario, trace=trace))
        found.append(policy.asked[: changed - 1])
    for first, second in zip(*found, strict=True):
        assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


def test_a_policy_is_told_the_placement_that_it_made_last():
    scenario = drawn_scenario()
    policy = Told(local(FOLLOWS, scenario).plan)
    found = replay(policy, scenario)
    told = [current for _, _, current in policy.asked]
    assert np.array_equal(told, np.concatenate([scenario.start[None], found.slots[:-1]]))


def test_copying_is_charged_against_the_placement_before():
    scenario = drawn_scenario(steps=10)
    swapped = START.copy()
    swapped[0], swapped[3] = 3, 0  # between the GPUs of the first node
    across = START.copy()
    across[5], across[6] = 6, 5  # between the nodes
    plans = [swapped, swapped, START, across]
    found = replay(Told(in_turn([both_layers(row) for row in plans])), scenario)
    # Each of two GPUs fetches one expert in both layers, over NVLink in 1/8 s each or over the network in 1 s.
    assert found.move_s == pytest.approx([0.25, 0.0, 0.25, 2.0])
    assert found.moved_slots.tolist() == [4, 0, 4, 4]
    assert found.intra_bytes.tolist() == [4, 0, 4, 0]
    assert found.inter_bytes.tolist() == [0, 0, 0, 4]
    assert found.charged_s - found.step_s == pytest.approx([0.025, 0.0, 0.025, 0.2])


def test_the_first_plan_is_charged_against_experts_in_order():
    scenario = drawn_scenario()
    assert replay(local(STILL, scenario), scenario).move_s.tolist() == [0.0] * 4


def test_planning_is_charged_where_the_rules_say_so_and_told_in_any_case():
    for counts in (False, True):
        scenario = drawn_scenario(steps=10, count_planning=counts)
        found = replay(Told(lambda history, tokens, current: current, cost_s=0.5), scenario)
        assert found.plan_s.tolist() == [0.5] * 4
        assert found.charged_s - found.step_s == pytest.approx([0.05 * counts] * 4)
        assert found.ratio == pytest.approx(found.ideal_s.sum() / (found.step_s.sum() + 0.2 * counts))


def test_planning_that_is_not_charged_leaves_the_ratio_alone():
    scenario = drawn_scenario()
    ratios = {replay(Told(lambda history, tokens, current: current, cost_s=cost_s), scenario).ratio for cost_s in (0.0, 9.0)}
    assert len(ratios) == 1


def test_a_policy_that_routes_evenly_is_scored_as_one_that_does_not_route():
    scenario = drawn_scenario(routed=True)
    even = Told(local(FOLLOWS, scenario).plan, lambda load, slots: uniform_share(slots, 8))
    plain = replay(local(FOLLOWS, scenario), drawn_scenario())
    found = replay(even, scenario)
    assert np.array_equal(found.step_s, plain.step_s)
    assert np.array_equal(found.gpu_load, plain.gpu_load)


def test_a_policy_routes_the_loads_of_the_window_over_the_placement_that_it_planned():
    scenario = drawn_scenario(routed=True)
    policy = Told(local(FOLLOWS, scenario).plan, lambda load, slots: uniform_share(slots, 8))
    found = replay(policy, scenario)
    assert np.array_equal([load for load, _ in policy.routed], scenario.trace.load[2:])
    assert np.array_equal([slots for _, slots in policy.routed], found.slots)


def test_where_it_is_not_asked_a_policy_does_not_route():
    policy = Told(lambda history, tokens, current: current, lambda load, slots: 1 / 0)
    replay(policy, drawn_scenario(routed=False))
    assert policy.routed == []


def test_tokens_follow_the_share():
    scenario = drawn_scenario(routed=True)
    # All of experts 0 to 3 at their second slots, on the second node.
    share = both_layers([0.0] * 4 + [1.0] * 8)
    found = replay(Told(lambda history, tokens, current: current, lambda load, slots: share), scenario)
    load = scenario.trace.load[2:] / 10
    assert found.gpu_load[..., 0] == pytest.approx(np.zeros((4, 2)))
    assert found.gpu_load[..., 1] == pytest.approx(load[..., 4:6].sum(-1))
    assert found.gpu_load[..., 2] == pytest.approx(load[..., [6, 7, 0]].sum(-1))
    assert found.gpu_load[..., 3] == pytest.approx(load[..., 1:4].sum(-1))
    assert found.busiest_slot == pytest.approx(load.max(-1))


@pytest.mark.parametrize(
    ("share", "why"),
    [
        (None, "share must be a numpy array, got NoneType"),
        (both_layers([0.5] * 12), "the shares of expert 4 of layer 0 add up to 0.5"),
        (both_layers([0.25] * 4 + [1.0] * 4 + [0.25] * 4), "the shares of expert 0 of layer 0 add up to 0.5"),
        (both_layers([1.5] * 4 + [1.0] * 4 + [-0.5] * 4), "share of layer 0, slot 8 is -0.5"),
        (both_layers([np.nan] * 12), "share of layer 0, slot 0 is nan"),
        (np.ones((1, 12)), "share must have the shape"),
    ],
)
def test_a_share_that_loses_or_makes_tokens_is_refused_with_trace_and_window(share, why):
    scenario = drawn_scenario(routed=True)
    policy = Told(lambda history, tokens, current: scenario.start, lambda load, slots: share)
    with pytest.raises(Invalid, match=f"^trace tiny, window 2: {re.escape(why)}"):
        replay(policy, scenario)


BAD = {
    "floats": (both_layers(START).astype(float), "slots must be an array of integers, got float64"),
    "one layer": (np.array([START]), "slots must have the shape (2 layers, 12 slots), got (1, 12)"),
    "too few slots": (both_layers(START[:8]), "slots must have the shape (2 layers, 12 slots), got (2, 8)"),
    "dropped experts": (both_layers([0, 1, 2, 3] * 3), "slots: expert 4 of layer 0 lies in no slot"),
    "unknown expert": (both_layers([*START[:-1], 8]), "slots of layer 0, slot 11 is 8"),
    "negative expert": (both_layers([*START[:-1], -1]), "slots of layer 0, slot 11 is -1"),
    "nothing": (None, "slots must be a numpy array, got NoneType"),
    "a list": ([START, START], "slots must be a numpy array, got list"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_answer_that_is_no_placement_is_refused_with_trace_and_window(name):
    answer, why = BAD[name]
    scenario = drawn_scenario()
    policy = Told(in_turn([scenario.start, answer]))
    with pytest.raises(Invalid, match=f"^trace tiny, window 3: {re.escape(why)}"):
        replay(policy, scenario)


def test_where_groups_have_to_be_kept_a_policy_that_spreads_them_is_refused():
    scenario = drawn_scenario(keep_groups=True)
    with pytest.raises(Invalid, match=r"^trace tiny, window 2: group 0 of layer 0 \(experts 0 to 3\) lies on 2 nodes"):
        replay(local(STILL, scenario), scenario)
    found = replay(local(HIERARCHICAL, scenario), scenario)
    first_node = found.slots[..., :6] // 4
    assert (first_node == first_node[..., :1]).all()


def test_replicas_beside_another_of_their_expert_are_counted():
    # Expert 0 three times on the first GPU; the other nine slots hold the other seven experts.
    row = [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 1, 1]
    found = replay(Told(lambda history, tokens, current: both_layers(row)), drawn_scenario())
    assert found.wasted.tolist() == [3.0] * 4
