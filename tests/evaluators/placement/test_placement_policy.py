import numpy as np
import pytest
from placement_scenario_kit import FOLLOWS, STILL, LocalProgram, drawn_scenario, local

from evolve.evaluators.placement.policy import LocalPolicy, ProgramPolicy

EDITS = {
    "history": "def plan(history, tokens, current, cluster):\n    history[0] = 1\n    return current\n",
    "tokens": "def plan(history, tokens, current, cluster):\n    tokens[0] = 1\n    return current\n",
    "current": "def plan(history, tokens, current, cluster):\n    current.sort(axis=1)\n    return current\n",
}
ROUTES = f"{STILL}\ndef route(load, slots, cluster):\n    return load, slots, cluster\n"


def asked(scenario):
    first = next(scenario.moments)
    return first.history, first.seen, scenario.start


@pytest.mark.parametrize("argument", EDITS)
def test_a_local_policy_that_edits_its_input_fails(argument):
    scenario = drawn_scenario()
    with pytest.raises(ValueError, match="read-only"):
        local(EDITS[argument], scenario).plan(*asked(scenario))


def test_a_local_policy_that_edits_loads_while_routing_fails():
    scenario = drawn_scenario()
    text = f"{STILL}\ndef route(load, slots, cluster):\n    load[:] = 1\n"
    with pytest.raises(ValueError, match="read-only"):
        local(text, scenario).route(scenario.trace.load[0], scenario.start)


def test_what_a_policy_is_given_stays_writable_for_the_one_who_gave_it():
    scenario = drawn_scenario()
    history, seen, start = asked(scenario)
    local(STILL, scenario).plan(history, seen, start)
    assert history.flags.writeable
    assert seen.flags.writeable
    assert start.flags.writeable


@pytest.mark.parametrize("text", [STILL, FOLLOWS])
def test_a_program_is_asked_as_a_local_policy_is(text):
    scenario = drawn_scenario()
    program = LocalProgram(text)
    inside = ProgramPolicy(program, scenario.facts).plan(*asked(scenario))
    assert np.array_equal(inside, local(text, scenario).plan(*asked(scenario)))
    [(function, *arrays, facts)] = program.calls
    assert (function, facts) == ("plan", scenario.facts)
    assert [array.flags.writeable for array in arrays] == [False] * 3


def test_a_policy_of_loads_alone_is_told_that_there_are_no_tokens():
    scenario = drawn_scenario(sampled=0)
    program = LocalProgram(STILL)
    ProgramPolicy(program, scenario.facts).plan(*asked(scenario))
    assert program.calls[0][2] is None


def test_both_kinds_route_with_the_same_arguments():
    scenario = drawn_scenario()
    load = scenario.trace.load[3]
    for policy in (local(ROUTES, scenario), ProgramPolicy(LocalProgram(ROUTES), scenario.facts)):
        given = policy.route(load, scenario.start)
        assert np.array_equal(given[0], load)
        assert np.array_equal(given[1], scenario.start)
        assert given[2] == scenario.facts


def test_time_of_a_program_is_that_of_its_process():
    scenario = drawn_scenario()
    policy = ProgramPolicy(LocalProgram(STILL, costs_s=[0.5, 2.0]), scenario.facts)
    for after in (0.5, 2.5):
        policy.plan(*asked(scenario))
        assert policy.cpu_s == after


def test_time_of_a_local_policy_grows_with_its_calls_even_where_they_fail():
    scenario = drawn_scenario()
    text = "def plan(history, tokens, current, cluster):\n    sum(range(200_000))\n    raise RuntimeError('no')\n"
    policy = local(text, scenario)
    assert policy.cpu_s == 0.0
    with pytest.raises(RuntimeError):
        policy.plan(*asked(scenario))
    assert 0 < policy.cpu_s < 10


def test_a_source_without_a_plan_is_refused():
    with pytest.raises(ValueError, match=r"no function plan\(history, tokens, current, cluster\)"):
        LocalPolicy("def place(): pass\n", {})
