"""Held-out data scores finished results, and nothing else of a run sees it."""

import json

import pytest
from conftest import untimed

import evolve

SOURCE = "# EVOLVE-BLOCK-START\ndef where():\n    return 1.0\n# EVOLVE-BLOCK-END\n"


def height(program):
    return evolve.Score(-abs(program.call("where") - 3.0))


def height_elsewhere(program):
    return evolve.Score(-1000.0 - abs(program.call("where") - 3.0), feedback="SECRET", metrics={"SECRET": 1.0})


def peak(holdout=height_elsewhere):
    return evolve.inline_task("peak", SOURCE, height, holdout=holdout)


def test_a_finished_run_scores_its_initial_program_and_its_best(tmp_path):
    summary = evolve.run(peak(), steps=30, seed=1, archive=tmp_path / "a.db").summary()
    for place in ("initial", "best"):
        held = summary[place]["holdout"]
        assert held["outcome"] == "ok"
        assert held["objective"] == -1000.0 + summary[place]["objective"]


def test_held_out_scores_change_nothing_of_a_run_and_are_in_no_row(tmp_path):
    run = evolve.run(peak(), steps=30, seed=1, archive=tmp_path / "a.db")
    plain = evolve.run(peak(None), steps=30, seed=1, archive=tmp_path / "b.db")
    assert untimed(run.steps()) == untimed(plain.steps())
    assert "SECRET" not in json.dumps(run.steps())
    assert plain.summary()["best"]["holdout"] is None
    with evolve.Archive.open(tmp_path / "a.db") as archive:
        feedback = [archive.program(1, row["program"])[1].feedback for row in run.steps() if row["objective"] is not None]
    assert not any("SECRET" in text for text in feedback)


def test_a_stopped_run_has_no_held_out_scores_until_it_is_finished(tmp_path):
    where = tmp_path / "a.db"
    evolve.run(peak(), steps=2000, seed=1, max_seconds=0.5, archive=where)
    first = evolve.Archive.open(where)
    with first as archive:
        assert archive.held_out(1) == set()
        done = len(archive.history(1)[0]) - 1
    summary = evolve.resume(archive=where, task=peak(), steps=done + 1).summary()
    assert summary["best"]["holdout"] is not None


def test_a_run_that_goes_further_scores_its_new_best_as_well(tmp_path):
    where = tmp_path / "a.db"
    first = evolve.run(peak(), steps=10, seed=1, archive=where).summary()
    later = evolve.resume(archive=where, task=peak(), steps=60).summary()
    assert later["best"]["program"] != first["best"]["program"]
    assert later["best"]["holdout"]["objective"] == -1000.0 + later["best"]["objective"]
    with evolve.Archive.open(where) as archive:
        assert len(archive.held_out(1)) == 3


def test_a_finished_run_that_is_resumed_scores_nothing_again(tmp_path):
    where = tmp_path / "a.db"
    first = evolve.run(peak(), steps=5, archive=where).summary()
    again = evolve.resume(archive=where, task=peak()).summary()
    assert again["best"] == first["best"]


@pytest.mark.parametrize("order", ["strict", "asap"])
def test_the_best_that_is_shown_is_the_one_that_was_scored(tmp_path, order):
    # Every child that keeps the sign scores the same: ties everywhere.
    task = evolve.inline_task("sign", SOURCE, sign, holdout=sign)
    summary = evolve.run(task, steps=25, workers=3, order=order, archive=tmp_path / "a.db").summary()
    assert summary["best"]["holdout"] is not None


def sign(program):
    return evolve.Score(1.0 if program.call("where") > 1.0 else 0.0)


def test_an_evaluator_with_other_held_out_data_is_another_evaluator():
    assert peak().evaluator_sha256 != peak(None).evaluator_sha256
    assert peak().evaluator_sha256 != peak(sign).evaluator_sha256


def test_an_inline_task_may_have_a_smoke_test(tmp_path):
    def refuse(program):
        if program.call("where") != 1.0:
            raise evolve.Invalid("smoke says no")

    task = evolve.inline_task("refused", SOURCE, height, smoke=refuse)
    rows = evolve.run(task, steps=10, archive=tmp_path / "a.db").steps()
    refused = [row for row in rows if row["outcome"] == "invalid"]
    assert refused
    assert {row["stage"] for row in refused} == {"smoke"}
    assert rows[0]["stage"] == "evaluate"
