"""Runs whose scores are noisy: who is believed, and what is said of the best."""

import json
import re
from pathlib import Path

import pytest

import evolve

SOURCE = "import random\n# EVOLVE-BLOCK-START\nX = 1.0\n# EVOLVE-BLOCK-END\n\ndef where():\n    return X, random.gauss(0.0, 1.0)\n"
#: Noise that no seed decides, and yet the same in every test: it hangs on how many evaluations there were.
EVALUATE = """
import pathlib, random
from evolve.evaluators import Score

LOG = pathlib.Path(__file__).with_name("log.txt")

def note(word):
    with LOG.open("a") as log:
        log.write(word + "\\n")
    return len(LOG.read_text().split())

def evaluate(program):
    x, _ = program.call("where")
    return Score(-((x - 3.0) ** 2) + random.Random(note("evaluate")).gauss(0.0, 0.5))

def holdout(program):
    note("holdout")
    return Score(-100.0)
"""
#: Noise that the program's seed decides.
SEEDED = "\ndef evaluate(program):\n    x, noise = program.call('where')\n    return Score(-((x - 3.0) ** 2) + 0.5 * noise)\n"
TOLERANT, REPEATED, UNDECLARED = "tolerance = 2.0", "repeats = 2", ""


def task(where: Path, objective: str, evaluate: str = EVALUATE) -> str:
    where.mkdir()
    (where / "task.toml").write_text(f'name = "noisy"\nprogram = ["initial.py"]\n[objective]\n{objective}\n')
    (where / "initial.py").write_text(SOURCE)
    (where / "evaluate.py").write_text(evaluate)
    return str(where)


def bests(run: evolve.Run) -> list[dict]:
    """The rows of programs that became the best, the initial one first."""
    return [row for row in run.steps() if row["improved"]]


def afresh_apart(run: evolve.Run) -> tuple[tuple[float, ...], dict]:
    """What the best was chosen by, and the interval that it is reported with."""
    return run.best_evaluation.values, run.summary()["best"]["interval"]


@pytest.mark.parametrize(("objective", "values"), [(TOLERANT, 2), (REPEATED, 4)])
def test_every_best_was_measured_equally_often_and_is_the_mean_of_it(tmp_path, objective, values):
    run = evolve.run(task(tmp_path / "t", objective), steps=25, seed=1, workers=1, archive=tmp_path / "a.db")
    rows = bests(run)
    assert len(rows) > 1
    for row in rows:
        assert len(row["values"]) == values
        assert row["objective"] == pytest.approx(sum(row["values"]) / values)
        assert row["verified"] is True


def test_more_measurements_can_be_asked_for(tmp_path):
    settings = {"stages": {"measurements": 4}}
    run = evolve.run(task(tmp_path / "t", TOLERANT), steps=10, seed=1, workers=1, settings=settings, archive=tmp_path / "a.db")
    assert {len(row["values"]) for row in bests(run)} == {4}


def test_a_challenger_that_was_only_lucky_does_not_become_the_best(tmp_path):
    lucky = (
        EVALUATE + "\ndef evaluate(program):\n    n = note('evaluate')\n"
        # Two of the initial program, then one child that scores high once and low afterwards.
        "    return Score(1.0 + 0.01 * n if n < 3 else 9.0 if n == 3 else -9.5)\n"
    )
    run = evolve.run(task(tmp_path / "t", TOLERANT, lucky), steps=4, seed=1, workers=1, archive=tmp_path / "a.db")
    child = next(row for row in run.steps() if row["step"] > 0 and row["values"])
    assert (child["values"], child["objective"], child["improved"]) == ([9.0, -9.5], -0.25, False)
    assert run.summary()["best"]["step"] == 0


@pytest.mark.parametrize("objective", [TOLERANT, REPEATED])
def test_a_finished_run_reports_its_best_with_measurements_that_it_was_not_chosen_by(tmp_path, objective):
    run = evolve.run(task(tmp_path / "t", objective), steps=15, seed=1, workers=1, archive=tmp_path / "a.db")
    chosen_by, interval = afresh_apart(run)
    assert interval["afresh"] is True
    assert interval["values"] == (16 if objective == REPEATED else 8)
    assert interval["low"] < interval["mean"] < interval["high"]
    assert interval["mean"] != pytest.approx(sum(chosen_by) / len(chosen_by))
    initial = run.summary()["initial"]["interval"]
    assert initial["afresh"] is (run.summary()["best"]["step"] == 0)


def test_held_out_data_and_fresh_measurements_come_after_the_last_step(tmp_path):
    run = evolve.run(task(tmp_path / "t", TOLERANT), steps=15, seed=1, workers=1, archive=tmp_path / "a.db")
    words = (tmp_path / "t" / "log.txt").read_text().split()
    assert run.summary()["best"]["step"] > 0
    assert words[-10:] == ["holdout"] * 2 + ["evaluate"] * 8
    assert "holdout" not in words[:-10]


def test_a_run_that_was_stopped_is_measured_afresh_when_it_is_finished_and_once(tmp_path):
    where, folder = tmp_path / "a.db", task(tmp_path / "t", TOLERANT)
    stopped = evolve.run(folder, steps=2000, seed=1, workers=1, max_seconds=0.5, archive=where)
    assert stopped.summary()["status"] == "stopped"
    assert stopped.summary()["best"]["interval"]["afresh"] is False
    done = stopped.summary()["steps"]["done"]
    finished = evolve.resume(archive=where, steps=done + 1, workers=1)
    interval = finished.summary()["best"]["interval"]
    assert interval["afresh"] is True
    assert evolve.resume(archive=where, workers=1).summary()["best"]["interval"] == interval


def test_noise_that_a_seed_decides_is_measured_with_further_seeds_and_repeats(tmp_path):
    where = tmp_path / "a.db"
    run = evolve.run(task(tmp_path / "t", REPEATED, EVALUATE + SEEDED), steps=20, seed=1, archive=where)
    assert all(len(set(row["values"])) == 4 for row in bests(run))
    chosen_by, interval = afresh_apart(run)
    assert interval["values"] == 16
    assert len(chosen_by) == 4
    assert evolve.replay(archive=where).differences == ()
    again = evolve.run(str(tmp_path / "t"), steps=20, seed=1, workers=3, archive=tmp_path / "b.db")
    assert again.summary()["best"] == run.summary()["best"]


def test_noise_that_is_not_declared_shows_in_the_interval_and_the_worse_score_counts(tmp_path, caplog):
    run = evolve.run(task(tmp_path / "t", UNDECLARED), steps=15, seed=1, workers=1, archive=tmp_path / "a.db")
    best = run.best_evaluation
    assert best.verified is False
    assert len(best.values) == 2
    assert best.objective == min(best.values)
    assert run.summary()["best"]["interval"]["values"] == 8
    assert "repeats" in caplog.text


def test_without_verification_or_fresh_measurements_nothing_is_measured_again(tmp_path):
    settings = {"stages": {"verify": False, "final_measurements": 0}}
    run = evolve.run(task(tmp_path / "t", TOLERANT), steps=10, seed=1, workers=1, settings=settings, archive=tmp_path / "a.db")
    assert run.summary()["best"]["interval"] is None
    scored = [row for row in run.steps() if row["objective"] is not None and row["reused_from"] is None]
    assert (tmp_path / "t" / "log.txt").read_text().split().count("evaluate") == len(scored)


def test_a_score_without_noise_is_measured_twice_and_not_afresh(tmp_path):
    steady = (
        EVALUATE + "\ndef evaluate(program):\n    note('evaluate')\n    return Score(-((program.call('where')[0] - 3.0) ** 2))\n"
    )
    run = evolve.run(task(tmp_path / "t", TOLERANT, steady), steps=10, seed=1, workers=1, archive=tmp_path / "a.db")
    assert run.summary()["best"]["interval"] is None
    words = (tmp_path / "t" / "log.txt").read_text().split()
    assert words.count("evaluate") == 1 + run.summary()["evaluated"] + run.summary()["verification"]["checked"]


def test_a_program_that_is_taken_away_agrees_with_what_it_was_measured_first(cli, tmp_path):
    folder = task(tmp_path / "t", REPEATED, EVALUATE + SEEDED)
    cli("run", folder, "--steps", 10, "--json")
    taken = cli("best", "--output", tmp_path / "out", "--json").json
    assert taken["agrees"] is True


def test_people_are_told_how_sure_the_best_is(cli, tmp_path):
    folder = task(tmp_path / "t", TOLERANT)
    ran = cli("run", folder, "--steps", 15, "--workers", 1)
    spread = r"; measured afresh \S+ ± \S+ \(95 %, mean of 8 measurements\)"
    assert re.search(r"objective \S+ → \S+" + spread, ran.out)
    assert re.search(r"best +\S+" + spread, cli("show").out)
    assert re.search(spread, cli("best").err.replace("\n", " "))
    shown = cli("show", "--json").json
    assert shown["best"]["interval"]["afresh"] is True
    study = json.loads(
        cli(
            "compare",
            folder,
            "--strategy",
            "default",
            "--strategy",
            "beam",
            "--seeds",
            2,
            "--steps",
            6,
            "--set",
            "workers=1",
            "--json",
        ).out
    )
    runs = [run for result in study["strategies"] for run in result["runs"]]
    assert all(run["noise"] is not None for run in runs)
