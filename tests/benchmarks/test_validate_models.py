"""The study of a real model, on a scripted one: what is stated, asked, refused and concluded."""

import io
import json
import os
import signal
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import count
from math import comb
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import PARABOLA
from hypothesis import given
from hypothesis import strategies as st
from model_kit import improver

from evolve.llm.base import Usage
from evolve.testing.model_server import Answer, Fault, ModelServer

# The script and its neighbour import each other as files of one folder do.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import validate_models
from verdicts import LEVEL, WORTH, Pairs, fewest_pairs, judge, pairs_needed, rules_out_worth, sign_p, together

SETTINGS = "kinds=full,price=1/10,max_tokens=500"


@pytest.fixture(autouse=True)
def no_table_of_ones_own(monkeypatch):
    monkeypatch.delenv("EVOLVE_PRICES", raising=False)


def study(server_url, output, *more, budget="1"):
    arm = f"openai/scripted[{SETTINGS}]@{server_url}"
    words = ["--arm", arm, "--budget-usd", budget, "--output", output, "--steps", 3, "--seeds", 2, "--tasks", PARABOLA, *more]
    return validate_models.main([str(word) for word in words])


# The script


class Done(NamedTuple):
    """A study that was run, and what it printed."""

    output: Path
    url: str
    out: str
    asked: int


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    output, said = tmp_path_factory.mktemp("done") / "study", io.StringIO()
    with ModelServer(improver) as server, redirect_stdout(said):
        assert study(server.url, output) == 0
        return Done(output, server.url, said.getvalue(), len(server.asked))


def test_a_study_asks_the_model_alone_and_gives_a_verdict_for_each_hypothesis(done):
    content = json.loads((done.output / "report.json").read_text())
    assert 0 < content["usd"] <= 1
    assert [found["second"] for found in content["hypotheses"]] == ["best_of_n", "sequential"]
    for found in content["hypotheses"]:
        assert found["wins"] + found["losses"] + found["ties"] == 2
        assert found["verdict"]["finding"] == "undecided"
    (comparison,) = content["comparisons"]
    assert [result["strategy"] for result in comparison["strategies"]] == ["default", "best_of_n", "sequential"]
    assert all(arm.startswith("openai/scripted") for arm in comparison["arms"])
    assert done.asked >= 18


def test_the_plan_comes_first_and_the_verdicts_last(done):
    plan, report = (done.output / "plan.md").read_text(), (done.output / "report.md").read_text()
    assert "So few pairs can support nothing, whatever they are: at least 7 are needed." in plan
    assert done.out.startswith(plan)
    assert "Expected: about 18 calls" in done.out
    assert report.startswith(plan)
    assert "# Strategies on hello_parabola" in report
    verdicts = report[report.index("# Verdicts") :]
    assert "0 of 6 runs ended at their dollars" in verdicts
    assert "# " not in verdicts.removeprefix("# Verdicts")
    assert done.out.endswith(verdicts)


def test_the_same_command_asks_nothing_twice_and_another_statement_is_refused(done, capsys):
    first = (done.output / "report.json").read_text()
    assert study(done.url, done.output) == 0  # the server is gone
    assert (done.output / "report.json").read_text() == first
    assert study(done.url, done.output, "--steps", 4) == 2
    assert "plan.md states another study; ask for the same, or choose another --output" in capsys.readouterr().err


def test_runs_whose_dollars_are_spent_count_and_runs_cut_short_otherwise_do_not(tmp_path, capsys, monkeypatch):
    def dear(asked):
        return replace(improver(asked), usage=Usage(input=100, output=20_000))

    more = ["--steps", 12, "--seeds", 1]  # not all of which are in flight before the first is paid
    with ModelServer(dear) as server:
        assert study(server.url, tmp_path, *more) == 0
        assert "3 of 3 runs ended at their dollars, before all of their steps" in capsys.readouterr().out
        monkeypatch.setattr(validate_models, "_OUT_OF_MONEY", "no reason begins so")
        assert study(server.url, tmp_path, *more) == 1
    assert "hello_parabola/default/0 ended after" in capsys.readouterr().err


def test_a_study_that_the_model_refuses_fails_with_its_words(tmp_path, capsys):
    with ModelServer(lambda asked: Answer(fault=Fault.BAD_KEY)) as server:
        assert study(server.url, tmp_path) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "report.json").exists()


def test_an_interrupted_study_says_how_to_go_on_and_goes_on(tmp_path, capsys):
    calls = count(1)

    def interrupted_once(asked):
        if next(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return improver(asked)

    with ModelServer(interrupted_once) as server:
        assert study(server.url, tmp_path) == 130
        assert "The same command goes on" in capsys.readouterr().err
        assert not (tmp_path / "report.json").exists()
        assert study(server.url, tmp_path) == 0
    (comparison,) = json.loads((tmp_path / "report.json").read_text())["comparisons"]
    assert {run["steps"] for result in comparison["strategies"] for run in result["runs"]} == {3}


def test_a_dry_run_asks_nobody_and_writes_nothing(tmp_path, capsys):
    with ModelServer([]) as server:
        assert study(server.url, tmp_path / "s", "--dry-run") == 0
        assert not server.asked
    assert "Expected: about 18 calls" in capsys.readouterr().out
    assert not (tmp_path / "s").exists()


def test_a_dry_run_of_the_whole_study_needs_no_key(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    words = ["--arm", "openai/gpt-5-mini", "--budget-usd", "10", "--output", str(tmp_path / "s"), "--dry-run"]
    assert validate_models.main(words) == 0
    out = capsys.readouterr().out
    assert "Tasks: circle_packing, cache_eviction. Seeds: 0, 1, 2, 3, 4." in out
    assert "Runs: 30, of at most 0.3333 usd each, 10 usd in all." in out
    assert "So few pairs" not in out


def test_too_small_a_budget_is_refused_with_the_least_that_is_not(tmp_path, capsys):
    with ModelServer([]) as server:
        assert study(server.url, tmp_path / "s", budget="0.01") == 2
        told = capsys.readouterr().err
        assert "--budget-usd 0.01 is too small to mean anything" in told
        least = told.partition("anything: ")[2].partition(" is the least")[0]
        assert study(server.url, tmp_path / "s", "--dry-run", budget=least) == 0
        assert study(server.url, tmp_path / "s", "--dry-run", budget=str(float(least) - 0.01)) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--arm", "local"], "--arm must be a language model"),
        (["--tasks", "circle_packing,circle_packing"], "--tasks must be distinct"),
        (["--seeds", "0"], "--seeds and --steps must be >= 1"),
        (["--budget-usd", "nan"], "--budget-usd must be finite and > 0"),
        (["--arm", "openai/no-such-model-anywhere"], "price"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_written(tmp_path, capsys, words, told):
    base = ["--arm", "openai/gpt-5-mini", "--budget-usd", "10", "--output", str(tmp_path / "s")]
    assert validate_models.main([*base, *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


# The verdicts


@pytest.mark.parametrize(
    ("pairs", "p"),
    [
        (Pairs(10, 0, 0), 2 / 1024),
        (Pairs(9, 1, 0), 22 / 1024),
        (Pairs(8, 2, 5), 112 / 1024),
        (Pairs(1, 9, 0), 22 / 1024),
        (Pairs(5, 5, 0), 1.0),
        (Pairs(0, 0, 3), 1.0),
    ],
)
def test_the_sign_test_is_exact_and_leaves_ties_out(pairs, p):
    assert sign_p(pairs) == p


@pytest.mark.parametrize(
    ("pairs", "adjusted", "finding"),
    [
        (Pairs(9, 1, 0), 0.043, "supported"),
        (Pairs(10, 0, 0), 0.06, "undecided"),
        (Pairs(8, 2, 0), 0.22, "undecided"),
        (Pairs(5, 5, 0), 1.0, "undecided"),
        # 4 or fewer of 10 have a chance of 0.0197 where three of four are won in truth, 5 or fewer of 0.0781.
        (Pairs(4, 6, 0), 1.0, "not supported"),
        (Pairs(1, 9, 0), 0.043, "not supported"),
        (Pairs(0, 2, 0), 1.0, "undecided"),
        (Pairs(0, 0, 10), 1.0, "undecided"),
    ],
)
def test_verdicts_follow_the_rules_that_are_stated(pairs, adjusted, finding):
    verdict = judge(pairs, adjusted, 2)
    assert verdict.finding == finding
    assert (verdict.needed is not None) == (finding == "undecided")


def test_an_undecided_verdict_says_how_many_pairs_would_find_what_was_seen_or_what_is_worth_having():
    assert judge(Pairs(8, 2, 0), 0.22, 2).needed == pairs_needed(0.8, 2)
    assert "an advantage like the one seen" in judge(Pairs(8, 2, 0), 0.22, 2).why
    assert judge(Pairs(8, 2, 10), 0.22, 2).needed == 2 * pairs_needed(0.8, 2)  # every other pair a tie
    assert judge(Pairs(5, 5, 0), 1.0, 2).needed == pairs_needed(WORTH, 2)
    assert "an advantage in three of four pairs" in judge(Pairs(5, 5, 0), 1.0, 2).why


def test_an_advantage_that_is_hardly_one_needs_more_pairs_than_anybody_will_look_at():
    verdict = judge(Pairs(401, 399, 0), 1.0, 2)
    assert (verdict.finding, verdict.needed) == ("not supported", None)  # three of four are ruled out long before
    assert pairs_needed(0.501, 2) is None


def test_the_pairs_needed_are_the_fewest_with_the_power_stated():
    def power(n, share, level):
        enough = next(k for k in range(n + 2) if sum(comb(n, j) for j in range(k, n + 1)) / 2**n <= level / 2)
        return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(enough, n + 1))

    for share in (0.75, 0.9, 1.0):
        needed = pairs_needed(share, 2)
        assert power(needed, share, LEVEL / 2) >= 0.8
        assert all(power(n, share, LEVEL / 2) < 0.8 for n in range(1, needed))


def test_one_pair_fewer_than_the_fewest_supports_nothing():
    for n_hypotheses in (1, 2, 4):
        fewest = fewest_pairs(n_hypotheses)
        assert n_hypotheses * sign_p(Pairs(fewest, 0, 0)) <= LEVEL < n_hypotheses * sign_p(Pairs(fewest - 1, 0, 0))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 5))
def test_a_hypothesis_and_its_opposite_are_never_both_supported(wins, losses, ties):
    pairs, other = Pairs(wins, losses, ties), Pairs(losses, wins, ties)
    assert sign_p(pairs) == sign_p(other) <= 1
    findings = [judge(one, sign_p(one), 1).finding for one in (pairs, other)]
    assert findings.count("supported") <= 1
    assert pairs.share + other.share == pytest.approx(1)


def test_tasks_are_put_together_pair_by_pair():
    assert together([Pairs(3, 1, 1), Pairs(2, 3, 0)]) == Pairs(5, 4, 1)
    assert Pairs(5, 4, 1).share == 0.55
    assert rules_out_worth(Pairs(0, 3, 0))
    assert not rules_out_worth(Pairs(0, 2, 0))
