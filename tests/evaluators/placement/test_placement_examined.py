from dataclasses import replace

import numpy as np
import pytest
from placement_scenario_kit import (
    CACHES,
    FOLLOWS,
    FORGETFUL_NOT,
    HIERARCHICAL,
    STILL,
    LocalProgram,
    Told,
    constant,
    drawn_scenario,
    in_turn,
    local,
)

from evolve.evaluators.base import Invalid
from evolve.evaluators.placement.bounds import lower_bound, lower_bound_any_routing
from evolve.evaluators.placement.catalog import FORECASTERS, POLICIES, source
from evolve.evaluators.placement.examined import examine, examine_program
from evolve.evaluators.placement.placement import gpu_load, uniform_share
from evolve.evaluators.placement.policy import ProgramPolicy
from evolve.evaluators.placement.simulator import replay

EVERY = range(4)


def examined(text, scenario, windows=EVERY):
    return examine(local(text, scenario), scenario, replay(local(text, scenario), scenario), windows)


def program_examined(text, scenarios, every=1):
    """As a score does it: one process for all replays, another one to be asked again."""
    program = LocalProgram(text)
    replays = [(scenario, replay(ProgramPolicy(program, scenario.facts), scenario)) for scenario in scenarios]
    return program, examine_program(program, replays, every)


def foreseeing(scenario, place):
    """A policy that knows each window from the one before it, and takes windows that are all alike for what is to come."""
    following = {scenario.trace.load[t].tobytes(): scenario.trace.load[t + 1] for t in range(scenario.trace.windows - 1)}

    def plan(history, tokens, current):
        load = history[-1] if (history == history[-1]).all() else following[history[-1].tobytes()]
        return place(np.stack([load]), tokens, current)

    return Told(plan)


@pytest.mark.parametrize("name", ["deepseek_hierarchical", "lpt_local_search", "minimum_migration"])
def test_the_oracle_of_a_perfect_forecaster_is_the_forecaster(name):
    scenario = drawn_scenario()
    place = local(source(name), scenario).plan
    found = replay(foreseeing(scenario, place), scenario)
    examination = examine(foreseeing(scenario, place), scenario, found, EVERY)
    assert np.array_equal(examination.oracle, examination.actual)
    assert examination.gaps.overall().forecast == 0.0
    # The same packing on the last window's loads has a gap of both kinds.
    blind = examined(source(name), scenario).gaps.overall()
    assert blind.forecast > 0.05
    assert blind.packing > 0


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("forecaster", FORECASTERS)
def test_where_nothing_changes_no_policy_has_a_forecast_gap(name, forecaster):
    gaps = examined(source(name, forecaster), constant(drawn_scenario())).gaps
    assert gaps.forecast == pytest.approx(np.zeros((4, 2)))


def test_loads_that_are_even_and_placed_evenly_leave_no_gap():
    scenario = drawn_scenario(cluster=replace(drawn_scenario().cluster, slots=8))
    even = replace(scenario, trace=replace(scenario.trace, load=np.full_like(scenario.trace.load, 70)))
    gaps = examined(STILL, even).gaps.overall()
    assert gaps == pytest.approx((0, 0, 0))


@pytest.mark.parametrize("seed", range(5))
def test_parts_of_the_gap_add_up_to_the_distance_from_the_bound(seed):
    scenario = drawn_scenario(seed)
    found = replay(local(HIERARCHICAL, scenario), scenario)
    examination = examine(local(HIERARCHICAL, scenario), scenario, found, EVERY)
    bound = np.stack([lower_bound(scenario.load_of(moment), 4, 12) for moment in scenario.moments])
    gaps = examination.gaps
    assert np.array_equal(examination.bound, bound)
    assert gaps.forecast + gaps.packing == pytest.approx(found.gpu_load.max(-1) - bound)
    overall = gaps.overall()
    assert overall.total == pytest.approx(found.gpu_load.max(-1).sum() / bound.sum() - 1)
    assert overall.forecast + overall.packing == pytest.approx(overall.total)


def test_the_oracle_is_the_plan_for_the_very_window():
    scenario = drawn_scenario()
    examination = examined(FOLLOWS, scenario)
    for place, moment in enumerate(scenario.moments):
        slots = local(FOLLOWS, scenario).plan(moment.load[None], None, scenario.start)
        load = gpu_load(scenario.load_of(moment), slots, uniform_share(slots, 8), 4)
        assert examination.oracle[place] == pytest.approx(load.max(-1))


def test_the_second_process_is_asked_backwards_with_what_the_first_one_was_asked():
    scenario = drawn_scenario()
    first, witness = (Told(local(FOLLOWS, scenario).plan) for _ in range(2))
    found = replay(first, scenario)
    examine(witness, scenario, found, EVERY)
    again, foresight = witness.asked[::2], witness.asked[1::2]
    for one, two in zip(again, [first.asked[place] for place in reversed(EVERY)], strict=True):
        assert all(np.array_equal(array, other) for array, other in zip(one, two, strict=True))
    for (history, tokens, current), place in zip(foresight, reversed(EVERY), strict=True):
        assert np.array_equal(history, [scenario.trace.load[place + 2]] * 2)
        # Tokens to come are not shown, and the slots in force are those of the replay.
        assert np.array_equal(tokens, scenario.trace.tokens[place : place + 2])
        assert np.array_equal(current, first.asked[place][2])


@pytest.mark.parametrize(("every", "windows"), [(1, (0, 1, 2, 3)), (2, (1, 3)), (3, (0, 3)), (9, (3,))])
def test_every_so_many_windows_are_looked_at_and_always_the_last(every, windows):
    _, [examination] = program_examined(FOLLOWS, [drawn_scenario()], every)
    assert examination.windows == windows
    assert examination.actual.shape == examination.oracle.shape == examination.bound.shape == (len(windows), 2)


def test_all_traces_are_looked_at_in_one_fresh_process_the_last_one_first():
    scenarios = [drawn_scenario(seed, name=f"trace {seed}") for seed in range(3)]
    program, examinations = program_examined(FOLLOWS, scenarios, 9)
    [witness] = program.siblings
    assert witness.files == program.files
    newest = [call[1][-1].tolist() for call in witness.calls]
    begins = [newest.index(one.trace.load[-2].tolist()) for one in reversed(scenarios)]
    assert begins == sorted(begins)
    assert begins[0] == 0
    alone = [program_examined(FOLLOWS, [scenario], 9)[1][0] for scenario in scenarios]
    for one, other in zip(examinations, alone, strict=True):
        assert np.array_equal(one.actual, other.actual)


@pytest.mark.parametrize("name", FORGETFUL_NOT)
@pytest.mark.parametrize("traces", [1, 2])
def test_a_policy_that_follows_something_else_than_its_arguments_is_refused(name, traces):
    scenarios = [drawn_scenario(seed, name=f"trace {seed}") for seed in range(traces)]
    with pytest.raises(
        Invalid, match=rf"^trace trace {traces - 1}, window 5: asked again in a fresh process, with the same history"
    ):
        program_examined(FORGETFUL_NOT[name], scenarios)


def test_a_policy_that_remembers_is_refused_where_its_history_is_longer_than_what_it_is_shown():
    with pytest.raises(
        Invalid, match=r"plan\(\) put expert \d and not \d in slot \d+ of layer \d; it must depend on its arguments"
    ):
        program_examined(FORGETFUL_NOT["remembers"], [drawn_scenario()], every=9)


def test_every_window_is_asked_about_again_and_those_that_are_named_with_foresight_too():
    scenario = drawn_scenario()
    witness = Told(local(FOLLOWS, scenario).plan)
    examination = examine(witness, scenario, replay(local(FOLLOWS, scenario), scenario), [3])
    assert examination.windows == (3,)
    newest = [scenario.trace.load[t].tolist() for t in (4, 5, 3, 2, 1)]
    assert [history[-1].tolist() for history, _, _ in witness.asked] == newest
    with pytest.raises(Invalid, match=r"window 3: asked again in a fresh process, with the same history"):
        examine(
            Told(in_turn([scenario.start] * 3 + [scenario.start[:, ::-1]])),
            scenario,
            replay(local(STILL, scenario), scenario),
            [3],
        )


@pytest.mark.parametrize("seed", range(4))
def test_a_program_that_is_honest_in_some_windows_is_found_out_in_the_others(seed):
    # It counts its calls, and of 16 windows it remembers in all but the fourth, the eighth, ...; in a process that begins elsewhere
    # than with experts in order, it never does.
    text = f"""{FOLLOWS}
SEEN = []

def plan(history, tokens, current, cluster):
    ordered = np.tile(np.arange(cluster["slots"]) % cluster["experts"], (len(current), 1))
    if not SEEN and (current != ordered).any():
        SEEN.append(None)
    if SEEN and SEEN[0] is None:
        return follow(history[-1], cluster["slots"])
    SEEN.append(history[-1])
    return follow(history[-1] if len(SEEN) % 4 == 0 else np.sum(SEEN, axis=0), cluster["slots"])
"""
    scenarios = [drawn_scenario(10 * seed + number, windows=18) for number in range(4)]
    with pytest.raises(Invalid, match="asked again in a fresh process, with the same history"):
        program_examined(text, scenarios, every=4)


def test_a_policy_that_caches_by_content_is_scored_as_one_that_computes():
    scenario = drawn_scenario()
    (cached,), (computed,) = (program_examined(text, [scenario])[1] for text in (CACHES, FOLLOWS))
    assert np.array_equal(cached.actual, computed.actual)
    assert np.array_equal(cached.oracle, computed.oracle)
    ratios = [replay(local(text, scenario), scenario).ratio for text in (CACHES, FOLLOWS)]
    assert ratios[0] == ratios[1]


def test_an_answer_to_the_second_asking_that_is_no_placement_says_where():
    scenario = drawn_scenario()
    found = replay(local(STILL, scenario), scenario)
    for answers in ([None], [scenario.start, None]):
        with pytest.raises(Invalid, match=r"^trace tiny, window 5: asked again in a fresh process, slots must be a numpy array"):
            examine(Told(in_turn(answers)), scenario, found, [3])


def test_a_program_that_fails_in_the_fresh_process_is_invalid():
    text = """
def plan(history, tokens, current, cluster):
    if len({window.tobytes() for window in history}) < 2:
        raise KeyError("seen")
    return current
"""
    with pytest.raises(Invalid, match="asked again in a fresh process, the program failed: KeyError: 'seen'"):
        program_examined(text, [drawn_scenario()])


ROUTES = f"""{STILL}
def route(load, slots, cluster):
    copies = np.stack([np.bincount(row)[row] for row in slots])
    return 1 / copies
"""
ROUTES_ONCE = f"""{STILL}
CALLS = []

def route(load, slots, cluster):
    CALLS.append(1)
    copies = np.stack([np.bincount(row)[row] for row in slots])
    share = 1.0 / copies
    if len(CALLS) > 1:
        # Of the experts with two slots, all goes to the first.
        share[:, :4], share[:, 8:] = 1.0, 0.0
    return share
"""


def test_what_plan_keeps_for_route_is_found_out():
    text = f"""{STILL}
KEPT = [0]

def route(load, slots, cluster):
    copies = np.stack([np.bincount(row)[row] for row in slots])
    share = 1.0 / copies
    if KEPT[0]:
        # Of the experts with two slots, all goes to the first.
        share[:, :4], share[:, 8:] = 1.0, 0.0
    return share

still = plan

def plan(history, tokens, current, cluster):
    KEPT[0] = int(history[-1, 0, 0]) % 2
    return still(history, tokens, current, cluster)
"""
    scenario = drawn_scenario(routed=True)
    assert any(moment.history[-1, 0, 0] % 2 for moment in scenario.moments)
    with pytest.raises(Invalid, match=r"asked again in a fresh process, .* route\(\) gave GPU"):
        program_examined(text, [scenario])


def test_a_policy_that_routes_is_held_against_the_bound_of_any_routing():
    scenario = drawn_scenario(routed=True)
    _, [examination] = program_examined(ROUTES, [scenario])
    bound = np.stack([lower_bound_any_routing(scenario.load_of(moment), 4, 12) for moment in scenario.moments])
    assert np.array_equal(examination.bound, bound)
    assert (examination.actual >= examination.bound).all()


def test_a_policy_that_routes_otherwise_when_asked_again_is_refused():
    with pytest.raises(Invalid, match=r"^trace tiny, window 5: asked again in a fresh process, .* route\(\) gave GPU 0 of layer 0"):
        program_examined(ROUTES_ONCE, [drawn_scenario(routed=True)])
