"""Random search of the MoE benchmarks: what is drawn, what is trained, which counts as the best."""

import math
import sys
from pathlib import Path

import pytest

# The scripts of the folder find each other as its files do.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from moe_random import Draw, Searched, _milestones, draws, fresh_report, search, search_report, tunable
from moe_seeds import ordinary
from moe_trials import Trained

from evolve.evaluators.moe.fitness import Reference

REFERENCE = Reference({0: 2.0, 1: 2.1, 2: 2.2}, max_violation=0.5)


def result(trial, loss, failure=""):
    metrics = {"cross_entropy": loss, "max_violation": 0.4, "dead_experts": 0.0, "active_flops": 1.0, "l1_imbalance": 0.2}
    return Trained(trial, "code", {} if failure else metrics, failure)


def test_ranges_are_read_without_running_the_method():
    assert tunable("switch") == {"COEFFICIENT": (1e-3, 1e-1)}
    assert tunable("none") == {}


def test_constants_lie_in_their_ranges_and_methods_with_nothing_to_tune_are_not_drawn():
    found = draws(300, 0)
    for draw in found:
        ranges = tunable(draw.method)
        assert ranges
        assert dict(draw.constants).keys() == ranges.keys()
        assert all(low <= dict(draw.constants)[name] <= high for name, (low, high) in ranges.items())
    assert {draw.method for draw in found} == {name for name in ordinary() if tunable(name)}


def test_log_uniform_draws_have_half_their_weight_below_the_geometric_mean():
    values = [dict(draw.constants)["COEFFICIENT"] for draw in draws(2000, 1) if draw.method == "switch"]
    # Of some hundred fair coins, 0.3 to 0.7 leaves out less than one in ten thousand.
    assert 0.3 < sum(value < 0.01 for value in values) / len(values) < 0.7


def test_a_longer_search_begins_with_a_shorter_one():
    assert draws(10, 3)[:4] == draws(4, 3)
    assert draws(4, 3) != draws(4, 4)


def test_hopeless_draws_are_not_trained_with_other_seeds_and_the_best_mean_wins():
    good, bad, broken = (Draw(name, (("COEFFICIENT", 0.1),)) for name in ("switch", "z_loss", "phi"))
    asked = []

    def run(trials):
        found = {}
        for trial in trials:
            asked.append((trial.method, trial.seed))
            loss = {"switch": 1.95, "z_loss": 9.0, "phi": 2.0}[trial.method] + 0.1 * trial.seed
            found[trial] = result(trial, loss, "it diverged" if trial.method == "phi" and trial.seed == 2 else "")
        return found

    found = search([bad, good, broken], "smoke", REFERENCE, run)
    assert ("z_loss", 1) not in asked
    assert len(asked) == found.trained == 7
    assert found.best == good
    assert found.fitness[1] == pytest.approx(0.05 / REFERENCE.sigma)
    assert found.fitness[2] == -math.inf


def test_the_report_follows_the_best_so_far():
    found = Searched([Draw("switch", ()), Draw("z_loss", ()), Draw("phi", ())], [0.5, -math.inf, 0.75], 7)
    lines = list(search_report(found))
    assert lines[0] == "3 evaluations, 7 trainings.\n"
    assert {"| 1 | +0.500 | switch |", "| 2 | +0.500 | switch |", "| 3 | +0.750 | phi |"} <= set(lines)


def test_milestones_end_with_the_last_evaluation():
    assert _milestones(1) == [1]
    assert _milestones(30) == [1, 2, 5, 10, 20, 30]


def test_the_best_is_compared_with_methods_that_trained_with_every_fresh_seed():
    best = Draw("switch", (("COEFFICIENT", 0.1),))
    tuned = {seed: result(best.trial("nano", seed), 1.9 + (seed - 100) / 1000) for seed in (100, 101)}
    found = {
        name: {seed: result(Draw(name, ()).trial("nano", seed), loss + (seed - 100) / 100) for seed in seeds}
        for name, loss, seeds in (("loss_free", 2.0, (100, 101)), ("none", 2.1, (100,)))
    }
    lines = list(fresh_report(best, tuned, found))
    assert any(line.startswith("| loss_free | -0.1045 [") for line in lines)
    assert not any(line.startswith("| none |") for line in lines)


def test_a_best_that_fails_afresh_is_said_to():
    best = Draw("switch", ())
    found = {"loss_free": {seed: result(Draw("loss_free", ()).trial("nano", seed), 2.0 + seed / 100) for seed in (100, 101)}}
    (line,) = fresh_report(best, {100: result(best.trial("nano", 100), 0.0, "it diverged")}, found)
    assert "fails with fresh seeds" in line
