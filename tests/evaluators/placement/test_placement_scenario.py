from dataclasses import replace

import numpy as np
import pytest
from placement_cluster_kit import sized
from placement_scenario_kit import TINY, drawn_scenario, drawn_trace

from evolve.errors import ConfigError
from evolve.evaluators.base import Invalid
from evolve.evaluators.placement.scenario import Rules, Scenario


def test_the_first_windows_are_history_and_each_other_one_counts():
    scenario = drawn_scenario(windows=5, history=2)
    trace = scenario.trace
    moments = list(scenario.moments)
    assert [moment.window for moment in moments] == [2, 3, 4]
    for moment in moments:
        before = slice(moment.window - 2, moment.window)
        assert np.array_equal(moment.history, trace.load[before])
        assert np.array_equal(moment.seen, trace.tokens[before])
        assert np.array_equal(moment.load, trace.load[moment.window])
        assert np.array_equal(moment.tokens, trace.tokens[moment.window])


def test_without_tokens_moments_have_none():
    for moment in drawn_scenario(sampled=0).moments:
        assert moment.seen is None
        assert moment.tokens is None


def test_at_the_start_experts_lie_in_order_and_begin_again_in_slots_to_spare():
    start = drawn_scenario().start
    assert start.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]] * 2
    assert start.dtype == np.int64


def test_loads_are_of_one_step():
    scenario = drawn_scenario(steps=10)
    moment = next(scenario.moments)
    assert np.array_equal(scenario.load_of(moment) * 10, moment.load)


def test_policies_are_told_plain_numbers_only():
    facts = drawn_scenario().facts
    assert (facts["nodes"], facts["gpus"], facts["slots"], facts["experts"], facts["groups"]) == (2, 4, 12, 8, 2)
    assert {type(value) for value in facts.values()} <= {int, float}


@pytest.mark.parametrize(
    ("trace", "cluster", "rules", "why"),
    [
        ({"experts": 16}, TINY, {}, "trace tiny: a cluster with 12 slots cannot hold 16 experts"),
        ({"windows": 2}, TINY, {}, r"trace tiny has 2 windows, 2 of them history \(rules\.history\): none is left"),
        ({"groups": 1}, TINY, {"keep_groups": True}, "trace tiny: rules.keep_groups needs groups .* got 1 groups and 2 nodes"),
        ({"groups": 4}, sized(TINY, nodes=1), {"keep_groups": True}, None),
        ({"groups": 1}, TINY, {"keep_groups": False}, None),
    ],
)
def test_what_does_not_fit_is_said_with_the_name_of_the_trace(trace, cluster, rules, why):
    def make():
        return Scenario(drawn_trace(**trace), cluster, Rules(history=2, **rules))

    if why is None:
        make()
        return
    with pytest.raises(ConfigError, match=why):
        make()


def test_some_history_there_must_be():
    with pytest.raises(ValueError, match="history must be >= 1 window, got 0"):
        Rules(history=0)


def test_groups_are_kept_only_where_the_rules_say_so():
    free, kept = drawn_scenario(), drawn_scenario(keep_groups=True)
    assert np.array_equal(free.checked(free.start), free.start)
    # Experts 0 to 3 are group 0; the start has them on GPUs 0, 2 and 3.
    with pytest.raises(Invalid, match="group 0 of layer 0"):
        kept.checked(kept.start)
    apart = np.array([[0, 1, 2, 3, 0, 1, 4, 5, 6, 7, 4, 5]] * 2)
    assert np.array_equal(kept.checked(apart), apart)


def test_a_checked_placement_is_a_copy():
    scenario = drawn_scenario()
    answer = scenario.start.astype(np.int32)
    slots = scenario.checked(answer)
    answer[:] = 0
    assert np.array_equal(slots, replace(scenario).start)
    assert slots.dtype == np.int64
