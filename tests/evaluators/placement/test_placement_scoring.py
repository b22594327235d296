"""Scores of step latency, most of them without a sandbox, which a test of its own stands in for."""

import numpy as np
import pytest
from placement_sandbox_kit import scored, server
from placement_scenario_kit import (
    CACHES,
    FOLLOWS,
    FORGETFUL_NOT,
    HIERARCHICAL,
    STILL,
    LocalProgram,
    drawn_trace,
    local,
    shrink,
)

from evolve.evaluators.base import Invalid, ProgramFailed
from evolve.evaluators.placement.catalog import source
from evolve.evaluators.placement.problem import ProblemConfig
from evolve.evaluators.placement.scenario import Rules
from evolve.evaluators.placement.scoring import StepLatency
from evolve.evaluators.placement.simulator import replay
from evolve.evaluators.placement.trace import save_trace
from evolve.program import Outcome

RULES = Rules(history=2)


@pytest.fixture(scope="module")
def one_server():
    with server() as found:
        yield found


@pytest.fixture
def latency(monkeypatch, tmp_path):
    """Makes scorers of two generated traces, two layers deep and four windows long."""
    shrink(monkeypatch)

    def make(**more):
        config = {"presets": ("drift", "even"), "layers": 2, "windows": 4, "hidden": 2, "rules": RULES, **more}
        return StepLatency(ProblemConfig(**config), tmp_path)

    return make


def ratio(text, scenario):
    return replay(local(text, scenario), scenario).ratio


def test_the_objective_is_the_mean_ratio_of_the_traces(latency):
    scorer = latency()
    score = scorer.evaluate(LocalProgram(HIERARCHICAL))
    ratios = {one.trace.name: ratio(HIERARCHICAL, one) for one in scorer.searched}
    assert score.instances == ratios
    assert list(ratios) == ["drift, search 0", "even, search 0"]
    assert score.objective == pytest.approx(np.mean(list(ratios.values())))
    assert 0 < score.objective <= 1
    assert [line.split(": ratio")[0] for line in score.feedback.splitlines()] == list(ratios)


def test_each_stage_has_traces_of_its_own_and_pairs_have_other_ones_for_each_seed(latency):
    scorer, program = latency(), LocalProgram(STILL)
    names = [set(scorer.evaluate(program).instances)]
    names += [set(scorer.paired(program, seed).instances) for seed in (0, 1)]
    names += [set(scorer.holdout(program).instances)]
    assert names[1:3] == [{"drift, validation 0", "even, validation 0"}, {"drift, validation 1", "even, validation 1"}]
    assert names[3] == {f"{preset}, hidden {number}" for preset in ("drift", "even") for number in (0, 1)}
    assert sum(map(len, names)) == len(set.union(*names))


def test_the_same_seed_gives_the_same_pair(latency):
    scorer = latency()
    assert scorer.paired(LocalProgram(FOLLOWS), 3).objective == scorer.paired(LocalProgram(FOLLOWS), 3).objective


def test_finished_results_are_held_against_deepseeks_policy_on_the_same_traces(latency):
    scorer = latency()
    same = scorer.holdout(LocalProgram(HIERARCHICAL))
    assert same.metrics["gain_on_deepseek"] == 0.0
    assert "policy on the same traces: +0.0000 [" in same.feedback
    other = scorer.holdout(LocalProgram(STILL))
    hidden = scorer.problem.scenarios("hidden", range(2))
    gain = np.mean([ratio(STILL, one) - ratio(HIERARCHICAL, one) for one in hidden])
    assert other.metrics["gain_on_deepseek"] == pytest.approx(gain)
    assert "(95 %, 4 traces)" in other.feedback.splitlines()[0]


def test_one_hidden_trace_has_no_interval(latency):
    score = latency(presets=("drift",), hidden=1).holdout(LocalProgram(STILL))
    assert score.feedback.splitlines()[0].endswith("(one trace)")


def test_where_programs_route_the_reference_still_shares_evenly(latency):
    text = (
        f"{HIERARCHICAL}\n\ndef route(load, slots, cluster):\n    return 1 / np.stack([np.bincount(row)[row] for row in slots])\n"
    )
    score = latency(rules=Rules(history=2, routed=True)).holdout(LocalProgram(text))
    assert score.metrics["gain_on_deepseek"] == pytest.approx(0.0)


def test_generated_and_recorded_traces_of_other_sizes_are_scored_together(latency, tmp_path):
    save_trace(tmp_path / "loads.npz", drawn_trace(windows=26, layers=3, experts=12, groups=2))
    score = latency(recorded=("loads.npz",)).evaluate(LocalProgram(FOLLOWS))
    assert list(score.instances) == ["drift, search 0", "even, search 0", "loads.npz"]


def test_one_process_is_asked_for_all_and_one_more_is_asked_again(latency):
    program = LocalProgram(FOLLOWS)
    latency(windows=5).evaluate(program)
    assert len(program.calls) == 10
    # Of each of two traces all five windows, and with foresight the last and the fourth before it.
    [witness] = program.siblings
    assert len(witness.calls) == 2 * (5 + 2)


def test_every_window_of_a_pair_is_asked_again(latency):
    program = LocalProgram(FOLLOWS)
    latency().paired(program, 0)
    assert [len(sibling.calls) for sibling in program.siblings] == [16]


@pytest.mark.parametrize("name", FORGETFUL_NOT)
def test_a_program_that_follows_something_else_than_its_arguments_has_no_score(latency, name):
    scorer, stages = latency(), (StepLatency.evaluate, StepLatency.holdout, lambda scorer, program: scorer.paired(program, 0))
    for stage in stages:
        with pytest.raises(Invalid, match=r"window 5: asked again in a fresh process, .* must depend on its arguments alone"):
            stage(scorer, LocalProgram(FORGETFUL_NOT[name]))


def test_a_program_that_caches_by_content_gains_nothing(latency):
    scorer = latency()
    assert scorer.evaluate(LocalProgram(CACHES)).instances == scorer.evaluate(LocalProgram(FOLLOWS)).instances


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("return current.astype(float)", "slots must be an array of integers, got float64"),
        ("return current[:1]", r"slots must have the shape \(2 layers, 12 slots\), got \(1, 12\)"),
        ("return current % 4", "slots: expert 4 of layer 0 lies in no slot"),
        ("return None", "slots must be a numpy array, got NoneType"),
    ],
)
def test_smoke_and_evaluation_refuse_what_is_no_placement_and_say_where(latency, text, why):
    program = f"def plan(history, tokens, current, cluster):\n    {text}\n"
    for stage in (latency().smoke, latency().evaluate):
        with pytest.raises(Invalid, match=f"^trace drift, search 0, window 2: {why}"):
            stage(LocalProgram(program))


def test_smoke_asks_once_and_for_a_share_where_programs_route(latency):
    program = LocalProgram(STILL)
    latency().smoke(program)
    assert [call[0] for call in program.calls] == ["plan"]
    text = f"{STILL}\ndef route(load, slots, cluster):\n    return np.ones(slots.shape)\n"
    with pytest.raises(Invalid, match=r"^trace drift, search 0, window 2: the shares of expert 0 of layer 0 add up to 2"):
        latency(rules=Rules(history=2, routed=True)).smoke(LocalProgram(text))


def test_a_score_draws_its_loads_and_its_gap(latency, tmp_path):
    score = latency().evaluate(LocalProgram(HIERARCHICAL))
    score.figure(str(tmp_path / "figure.png"))
    score.artifacts["gap.png"](str(tmp_path / "gap.png"))
    for name in ("figure.png", "gap.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_in_the_sandbox_a_program_scores_as_outside_of_it(latency, one_server):
    for text in (HIERARCHICAL, source("minimum_migration", "ema")):
        assert scored(one_server, latency().evaluate, text).instances == latency().evaluate(LocalProgram(text)).instances


@pytest.mark.parametrize("name", FORGETFUL_NOT)
def test_in_the_sandbox_a_program_that_keeps_or_draws_something_has_no_score(latency, one_server, name):
    with pytest.raises(Invalid, match="asked again in a fresh process"):
        scored(one_server, latency().evaluate, FORGETFUL_NOT[name])


@pytest.mark.parametrize("argument", ["history", "tokens", "current"])
def test_in_the_sandbox_a_program_that_edits_its_input_crashes_with_numpys_message(latency, one_server, argument):
    text = f"def plan(history, tokens, current, cluster):\n    {argument}[0] = 1\n    return current\n"
    with pytest.raises(ProgramFailed, match="ValueError: assignment destination is read-only") as failed:
        scored(one_server, latency().evaluate, text)
    assert failed.value.outcome is Outcome.CRASHED


def test_in_the_sandbox_what_is_shown_leads_to_nothing_that_comes_later(latency, one_server):
    text = """
import gc
import numpy as np

def plan(history, tokens, current, cluster):
    reached = [history, tokens, current]
    while reached[-1].base is not None and isinstance(reached[-1].base, np.ndarray):
        reached.append(reached[-1].base)
    everything = reached + [one for one in gc.get_objects() if isinstance(one, np.ndarray)]
    shown = max(history.size, tokens.size)
    return None if any(one.size > shown for one in everything) else current
"""
    assert scored(one_server, latency().evaluate, text).objective == latency().evaluate(LocalProgram(STILL)).objective
