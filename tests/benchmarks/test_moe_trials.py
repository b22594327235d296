"""Trainings that the MoE benchmarks log: what counts as the same code, what is read back, what is done again."""

import sys
from pathlib import Path

import pytest

# The scripts of the folder find each other as its files do.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import moe_trials
from moe_trials import Trained, Trial, bare, code_of, label, read, train_all

METRICS = {"cross_entropy": 2.5, "max_violation": 0.5, "dead_experts": 0.0, "active_flops": 1.0, "l1_imbalance": 0.1}
FIRST = Trained(Trial("switch", (("COEFFICIENT", 0.1 + 0.2),), "smoke", 3), "ab", METRICS)


def test_a_line_holds_a_training(tmp_path):
    failed = Trained(Trial("none", (), "nano", 0, True), "cd", {}, "it diverged")
    (tmp_path / "log").write_text(f"{FIRST.line()}\n{failed.line()}\n")
    assert list(read(tmp_path / "log")) == [FIRST, failed]


def test_a_summary_is_made_of_metrics():
    summary = FIRST.summary
    assert (summary.cross_entropy, summary.max_violation, summary.dead, summary.active, summary.l1) == (2.5, 0.5, 0.0, 1.0, 0.1)


def test_a_line_that_was_not_finished_is_left_out_and_the_next_begins_by_itself(tmp_path):
    log = tmp_path / "new" / "log"
    moe_trials._mend(log)
    log.write_text(FIRST.line() + "\n" + FIRST.line()[:40])
    moe_trials._mend(log)
    with log.open("a") as file:
        file.write(FIRST.line() + "\n")
    assert list(read(log)) == [FIRST, FIRST]


def test_no_log_holds_nothing(tmp_path):
    assert list(read(tmp_path / "log")) == []


def test_comments_docstrings_and_layout_are_not_code():
    assert bare('def f(x):\n    """Says."""\n    return x  # why\n') == bare("def f( x ):\n\n    return x\n")
    assert bare("def f(x):\n    return x\n") != bare("def f(x):\n    return -x\n")


def test_code_is_that_of_the_method_and_of_what_trains_it():
    assert code_of("switch") != code_of("none")
    names = {path.name for path in moe_trials._reached("evolve.evaluators.moe.report")}
    assert {"report.py", "trainer.py", "experts.py", "router.py", "metrics.py", "batches.py"} <= names
    assert names.isdisjoint({"fitness.py", "figures.py", "lab.py"})


def test_what_the_log_has_of_this_code_is_not_trained_again(tmp_path):
    log = tmp_path / "log"
    trial = Trial("switch", (), "smoke", 0)
    known, old = Trained(trial, code_of("switch"), METRICS), Trained(trial, "of other code", {**METRICS, "cross_entropy": 9.0})
    log.write_text(f"{known.line()}\n{old.line()}\n")
    assert train_all([trial, trial], log, workers=1) == {trial: known}


@pytest.mark.slow  # a process that imports torch
def test_what_is_missing_is_trained_and_written_down_and_failures_are_data(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")
    log = tmp_path / "log"
    # Pangu's groups follow from how many experts of each are taken: 3 of 2 are none.
    trials = [Trial("none", (), "smoke", 0), Trial("pangu_moge", (("PER_GROUP", 3),), "smoke", 0)]
    found = train_all(trials, log, workers=1)
    assert 2.0 < found[trials[0]].summary.cross_entropy < 3.5
    assert "PER_GROUP" in found[trials[1]].failure
    assert {item.trial: item for item in read(log)} == found


def test_a_method_is_named_with_the_constants_that_are_not_its_own():
    assert label("phi", (("COEFFICIENT", 0.0123456), ("RATE", 1.0))) == "phi COEFFICIENT=0.0123 RATE=1"
