"""Scores of the leaderboard's question, most of them without a sandbox, which tests of its own stand in for."""

import re

import numpy as np
import pytest
from placement_sandbox_kit import scored, server
from placement_scenario_kit import LocalProgram, shrink

from evolve.errors import ConfigError
from evolve.evaluators.base import Invalid, ProgramFailed, SiblingFailed
from evolve.evaluators.placement.adrs import AdrsLeaderboard
from evolve.evaluators.placement.balance import balance
from evolve.evaluators.placement.catalog import POLICIES, source
from evolve.evaluators.placement.placement import slot_load, uniform_share
from evolve.evaluators.placement.problem import ProblemConfig
from evolve.evaluators.placement.scenario import Rules
from evolve.program import Outcome

HIERARCHICAL = source("deepseek_hierarchical", entry="rebalance")

#: Experts in order; `answer` is put behind it with a fault of its own.
HONEST = """
import numpy as np

def honest(weight, num_replicas):
    layers, experts = weight.shape
    phy2log = np.tile(np.arange(num_replicas) % experts, (layers, 1))
    logcnt = np.tile(np.bincount(phy2log[0], minlength=experts), (layers, 1))
    log2phy = np.full((layers, experts, logcnt.max()), -1)
    for slot in range(num_replicas):
        log2phy[:, slot % experts, slot // experts] = slot
    return phy2log, log2phy, logcnt

KEPT = []

def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus):
    phy2log, log2phy, logcnt = honest(weight, num_replicas)
"""


def faulty(*lines):
    return HONEST + "".join(f"    {line}\n" for line in lines)


STILL = faulty("return phy2log, log2phy, logcnt")
#: Rolls the slots, by what it is told first in its life, by how often it was called, by chance, or by what it is given.
ROLL = ("roll", "return np.roll(phy2log, roll, axis=1), np.where(log2phy < 0, -1, (log2phy + roll) % num_replicas), logcnt")
ROLLED = {
    "first for ever": faulty("KEPT.append(int(weight[0, 0]) % 11 + 1)", "roll = KEPT[0]", ROLL[1]),
    "counts": faulty("KEPT.append(1)", "roll = len(KEPT) % 11", ROLL[1]),
    "draws": faulty("roll = int(np.random.default_rng().integers(12))", ROLL[1]),
}
COMPUTES = faulty("roll = int(weight[0, 0]) % 11", ROLL[1])
CACHES = faulty(
    "known = dict(KEPT)",
    "roll = known[weight.tobytes()] if weight.tobytes() in known else int(weight[0, 0]) % 11",
    "KEPT.append((weight.tobytes(), roll))",
    ROLL[1],
)


@pytest.fixture(scope="module")
def one_server():
    with server() as found:
        yield found


@pytest.fixture
def board(monkeypatch, tmp_path):
    """Makes scorers of one generated trace, two layers deep and six windows long."""
    shrink(monkeypatch)

    def make(**more):
        config = {"presets": ("drift",), "layers": 2, "windows": 5, "hidden": 2, "rules": Rules(history=1), **more}
        return AdrsLeaderboard(ProblemConfig(**config), tmp_path)

    return make


@pytest.mark.parametrize("rule", ["routed", "count_planning"])
def test_a_rule_that_the_leaderboard_has_not_is_refused(board, rule):
    with pytest.raises(ConfigError, match=f"rules.{rule}: "):
        board(rules=Rules(history=1, **{rule: True}))


def plain(score, name):
    return getattr(score.metrics[name], "value", score.metrics[name])


def balances(text, trace):
    """What the placement of each window's loads makes of the next."""
    names: dict = {}
    exec(text, names)
    found = []
    for now, then in zip(trace.load[:-1], trace.load[1:], strict=True):
        slots, _, _ = names["rebalance_experts"](now.astype(float), 12, 2, 2, 4)
        found.append(balance(slot_load(then.astype(float), slots, uniform_share(slots, 8)), 4))
    return found


@pytest.mark.parametrize("name", [name for name in POLICIES if not POLICIES[name].migrates])
def test_balance_is_that_of_the_next_window_under_the_plan_for_the_last(board, name):
    text = source(name, entry="rebalance")
    scorer = board()
    score = scorer.evaluate(LocalProgram(text))
    found = balances(text, scorer.searched[0].trace)
    assert plain(score, "balancedness_gpu") == pytest.approx(np.mean([one.gpu for one in found]))
    assert plain(score, "balancedness_expert") == pytest.approx(np.mean([one.expert for one in found]))
    assert score.instances == {"drift, search 0": plain(score, "balancedness_gpu")}


@pytest.mark.parametrize(
    ("costs_s", "seconds"),
    [
        # The first call takes nine seconds, and the medians of the other four are:
        ([9.0, 0.004, 0.001, 0.003, 0.002], 0.0025),
        ([9.0, 0.0001], 0.0001),
        ([9.0, 0.5], 0.5),
        ([9.0, 3.0], 3.0),
        ([9.0, 0.010], 0.010),
    ],
)
def test_the_objective_is_the_leaderboards_formula_of_the_median_time_without_the_first_call(board, costs_s, seconds):
    score = board().evaluate(LocalProgram(HIERARCHICAL, costs_s))
    balanced, by_expert = plain(score, "balancedness_gpu"), plain(score, "balancedness_expert")
    assert plain(score, "plan_ms") == pytest.approx(1e3 * seconds)
    slow = min(20 * seconds, 20) if seconds > 0.010 + 1e-9 else 0
    assert score.objective == pytest.approx(90 * balanced + 5 * min(0.002 / seconds, 2) - slow)
    assert plain(score, "openevolve") == pytest.approx((by_expert + 0.02 / seconds) / 2)
    assert plain(score, "skydiscover") == pytest.approx((by_expert + 0.002 / seconds) / 2)


@pytest.mark.parametrize(("seconds", "speed"), [(0.02, 0.2), (0.004, 1.0), (0.001, 1.0)])
def test_speed_is_relative_to_deepseeks_policy_in_a_sandbox_of_its_own(board, seconds, speed):
    # Of the reference too, the first call only warms up.
    program = LocalProgram(STILL, [seconds], siblings_cost_s=[7.0, 0.002, 0.004, 0.006])
    score = board().evaluate(program)
    assert plain(score, "speed") == pytest.approx(speed)
    assert program.siblings[-1].files == {"initial.py": HIERARCHICAL}


def test_time_is_the_median_over_all_traces_but_for_each_ones_first_call(board):
    costs_s = [9.0, *[0.001] * 4, 9.0, *[0.003] * 4]
    score = board(presets=("drift", "even")).evaluate(LocalProgram(HIERARCHICAL, costs_s))
    assert plain(score, "plan_ms") == pytest.approx(2.0)
    assert list(score.instances) == ["drift, search 0", "even, search 0"]
    assert plain(score, "balancedness_gpu") == pytest.approx(np.mean(list(score.instances.values())))


def test_time_that_fewer_than_half_of_the_calls_take_is_paid_for(board):
    score = board().evaluate(LocalProgram(HIERARCHICAL, [9.0, 0.001, 0.2, 0.001, 0.001]))
    assert plain(score, "plan_ms") == pytest.approx(1e3 * 0.203 / 4 / 2)


def test_with_one_call_alone_its_time_counts(board):
    score = board(windows=1).evaluate(LocalProgram(HIERARCHICAL, [0.5, 9.0]))
    assert plain(score, "plan_ms") == pytest.approx(500)


def test_a_program_is_asked_about_each_window_but_the_last_with_the_published_arguments(board):
    scorer, program = board(), LocalProgram(HIERARCHICAL)
    scorer.evaluate(program)
    assert [call[0] for call in program.calls] == ["rebalance_experts"] * 5
    assert np.array_equal([call[1] for call in program.calls], scorer.searched[0].trace.load[:-1])
    assert {call[2:] for call in program.calls} == {(12, 2, 2, 4)}
    assert {(call[1].dtype, call[1].flags.writeable) for call in program.calls} == {(np.dtype(np.float64), False)}


FAULTS = {
    "a slot twice in log2phy": (
        ("log2phy[1, 3, 1] = log2phy[1, 3, 0]", "return phy2log, log2phy, logcnt"),
        "log2phy of layer 1, expert 3 names slot 3 2 times, and another of its slots never",
    ),
    "-1 inside a row": (
        ("log2phy[1, 3] = -1, 3", "return phy2log, log2phy, logcnt"),
        "log2phy of layer 1, expert 3 has -1 at place 0; its 2 slots come first, then only -1",
    ),
    "a slot behind the last": (
        ("log2phy[1, 7, 1] = 7", "return phy2log, log2phy, logcnt"),
        "log2phy of layer 1, expert 7 has 7 at place 1; its 1 slots come first",
    ),
    "another expert's slot": (
        ("log2phy[1, 7, 0] = 6", "return phy2log, log2phy, logcnt"),
        "log2phy of layer 1, expert 7 names slot 6 at place 0, but phy2log has expert 6 there",
    ),
    "a count too high": (
        ("logcnt[1, 7] = 2", "return phy2log, log2phy, logcnt"),
        "logcnt says that expert 7 of layer 1 has 2 replicas, but phy2log has it in 1 slots",
    ),
    "a replica nowhere": (
        ("phy2log[1, 7] = 0", "return phy2log, log2phy, logcnt"),
        "phy2log: expert 7 of layer 1 lies in no slot; every expert needs at least one in each layer",
    ),
    "an expert that claims no replica": (
        ("logcnt[1, 7] = 0", "return phy2log, log2phy, logcnt"),
        "logcnt says that expert 7 of layer 1 has 0 replicas",
    ),
    "two of three": (("return phy2log, log2phy",), "expected (phy2log, log2phy, logcnt), got tuple of 2"),
    "a placement alone": (("return phy2log",), "expected (phy2log, log2phy, logcnt), got ndarray"),
    "nothing": (("return None",), "expected (phy2log, log2phy, logcnt), got NoneType"),
    "another order": (("return log2phy, phy2log, logcnt",), "phy2log must have the shape (2 layers, 12 slots), got (2, 8, 2)"),
    "floats": (("return phy2log * 1.0, log2phy, logcnt",), "phy2log must be an array of integers, got float64"),
    "lists": (("return phy2log.tolist(), log2phy, logcnt",), "phy2log must be a numpy array, got list"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_maps_that_are_wrong_or_contradict_each_other_are_refused_with_trace_and_window(board, name):
    lines, why = FAULTS[name]
    for stage in (board().smoke, board().evaluate):
        with pytest.raises(Invalid, match=f"^trace drift, search 0, window 0: {re.escape(why)}"):
            stage(LocalProgram(faulty(*lines)))


def test_a_fault_in_a_later_window_is_found_there(board):
    text = faulty("KEPT.append(1)", "logcnt[0, 0] += len(KEPT) > 3", "return phy2log, log2phy, logcnt")
    with pytest.raises(Invalid, match=r"^trace drift, search 0, window 3: logcnt says that expert 0 of layer 0 has 3 replicas"):
        board().evaluate(LocalProgram(text))


def test_where_groups_have_to_be_kept_a_placement_that_spreads_them_is_refused(board):
    scorer = board(rules=Rules(history=1, keep_groups=True))
    with pytest.raises(Invalid, match=r"^trace drift, search 0, window 0: group 0 of layer 0 .* lies on 2 nodes"):
        scorer.evaluate(LocalProgram(STILL))
    assert plain(scorer.evaluate(LocalProgram(HIERARCHICAL)), "nodes_per_group") == 1.0
    assert plain(board().evaluate(LocalProgram(STILL)), "nodes_per_group") == 2.0


@pytest.mark.parametrize("name", ROLLED)
def test_a_program_that_follows_something_else_than_its_arguments_is_refused(board, name):
    with pytest.raises(Invalid, match=r"^trace drift, search 0, window 4: asked again in a fresh process .* placed otherwise"):
        board().evaluate(LocalProgram(ROLLED[name]))


def test_a_program_that_computes_at_the_beginning_and_at_the_end_alone_is_refused(board):
    # Its first three calls are honest and so are the last three of nine: a few windows that are asked again would not show it.
    text = faulty("KEPT.append(int(weight[1, 2]) % 11)", "roll = KEPT[0 if 3 < len(KEPT) < 7 else -1]", ROLL[1])
    with pytest.raises(Invalid, match=r"^trace drift, search 0, window 5: asked again in a fresh process .* placed otherwise"):
        board(windows=9).evaluate(LocalProgram(text))


def test_a_program_that_caches_by_content_finds_nothing_there_and_scores_as_one_that_computes(board):
    cached, computed = (board().evaluate(LocalProgram(text)) for text in (CACHES, COMPUTES))
    assert cached.instances == computed.instances
    # No window comes twice, not even over traces: its time is that of computing and of looking up.
    loads = [load.tobytes() for scenario in board().searched for load in scenario.trace.load]
    assert len(set(loads)) == len(loads)


def test_a_program_that_fails_in_the_fresh_process_is_invalid(board):
    program = LocalProgram(STILL)
    begun = program.sibling

    def sibling(files):
        begun({"initial.py": "def rebalance_experts(*arguments):\n    raise KeyError('seen')\n"})
        return program.siblings[-1]

    program.sibling = sibling
    with pytest.raises(Invalid, match="asked again in a fresh process, the program failed: KeyError: 'seen'"):
        board().evaluate(program)


def test_all_windows_are_asked_again_last_first(board):
    scorer, program = board(), LocalProgram(STILL)
    scorer.evaluate(program)
    witness, reference = program.siblings
    assert np.array_equal([call[1] for call in witness.calls], scorer.searched[0].trace.load[[4, 3, 2, 1, 0]])
    assert np.array_equal([call[1] for call in reference.calls], scorer.searched[0].trace.load[:4])


def test_each_stage_has_traces_of_its_own(board):
    scorer = board()
    found = [scorer.evaluate(LocalProgram(STILL)), scorer.paired(LocalProgram(STILL), 3), scorer.holdout(LocalProgram(STILL))]
    names = [["drift, search 0"], ["drift, validation 3"], ["drift, hidden 0", "drift, hidden 1"]]
    assert [list(score.instances) for score in found] == names


def test_a_score_says_how_even_and_how_fast_and_draws_its_loads(board, tmp_path):
    score = board().evaluate(LocalProgram(STILL, [0.002], siblings_cost_s=[0.006]))
    assert "2.00 ms of CPU per call, 3.0 times as fast as DeepSeek's policy here (6.0 ms)" in score.feedback
    score.figure(str(tmp_path / "figure.png"))
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_in_the_sandbox_a_program_is_as_even_as_outside_of_it_and_its_time_is_measured(board, one_server):
    inside = scored(one_server, board().evaluate, HIERARCHICAL)
    assert inside.instances == board().evaluate(LocalProgram(HIERARCHICAL)).instances
    assert 0 < plain(inside, "plan_ms") < 1e3
    assert 0 < plain(inside, "speed") <= 1


def test_in_the_sandbox_a_program_that_edits_its_loads_crashes_with_numpys_message(board, one_server):
    with pytest.raises(ProgramFailed, match="ValueError: assignment destination is read-only") as failed:
        scored(one_server, board().evaluate, faulty("weight[:] = 1", "return phy2log, log2phy, logcnt"))
    assert failed.value.outcome is Outcome.CRASHED
    assert not isinstance(failed.value, SiblingFailed)


@pytest.mark.parametrize("name", ROLLED)
def test_in_the_sandbox_a_program_that_keeps_or_draws_something_has_no_score(board, one_server, name):
    with pytest.raises(Invalid, match="asked again in a fresh process"):
        scored(one_server, board().evaluate, ROLLED[name])
