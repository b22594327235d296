"""A program that would be the best counts when a second evaluation, in a sandbox of its own, says so too."""

from pathlib import Path

from conftest import PARABOLA, untimed

import evolve

CHANCE = "import os\n# EVOLVE-BLOCK-START\nBASE = 1.0\n# EVOLVE-BLOCK-END\n\ndef answer():\n    return BASE + os.urandom(1)[0]\n"
STEADY = "def answer():\n    return 1.5\n"


def score_answer(program):
    return evolve.Score(program.call("answer"))


def folder_task(where: Path, evaluate: str, source: str = STEADY, more: str = "") -> Path:
    where.mkdir()
    (where / "task.toml").write_text(f'name = "steady"\nprogram = ["initial.py"]\n[limits]\ntimeout_s = 5\n{more}\n')
    (where / "initial.py").write_text(source)
    (where / "evaluate.py").write_text(evaluate)
    return where


COUNTED = """
import pathlib
from evolve.evaluators import Invalid, Score

LOG = pathlib.Path(__file__).with_name("log.txt")

def count():
    with LOG.open("a") as log:
        log.write("x")
    return len(LOG.read_text())
"""


def test_a_score_that_does_not_repeat_counts_with_the_worse_value(tmp_path, caplog):
    task = evolve.inline_task("chance", CHANCE, score_answer)
    run = evolve.run(task, steps=1, archive=tmp_path / "a.db")
    with evolve.Archive.open(tmp_path / "a.db") as archive:
        initial = archive.run_record(1).initial_program
        _, evaluation = archive.program(1, initial)
    assert evaluation.verified is False
    assert repr(evaluation.objective) in evaluation.feedback
    assert run.summary()["verification"]["disagreed"] >= 1
    assert "repeats" in caplog.text


def test_the_worse_of_two_values_is_the_larger_one_when_minimising(tmp_path):
    evaluate = COUNTED + "def evaluate(program):\n    return Score(float(count()))\n"
    where = folder_task(tmp_path / "t", evaluate, more='[objective]\ndirection = "minimize"')
    rows = evolve.run(str(where), steps=1, workers=1, archive=tmp_path / "a.db").steps()
    assert rows[0]["objective"] == 2.0
    assert rows[0]["verified"] is False


def test_a_program_whose_second_evaluation_fails_does_not_count(tmp_path):
    where = folder_task(
        tmp_path / "t",
        COUNTED
        + "def evaluate(program):\n    n = count()\n    if n == 4:\n        raise Invalid('not twice')\n"
        + "    return Score(99.0 if n == 3 else 1.5)\n",
    )
    run = evolve.run(str(where), steps=6, workers=1, archive=tmp_path / "a.db")
    row = next(row for row in run.steps()[1:] if row["outcome"] not in ("edit_failed", "rejected"))
    assert (row["outcome"], row["objective"], row["verified"]) == ("invalid", None, False)
    with evolve.Archive.open(tmp_path / "a.db") as archive:
        feedback = archive.program(1, row["program"])[1].feedback
    assert "99.0" in feedback
    assert "not twice" in feedback
    assert run.best_objective == 1.5
    assert run.summary()["verification"] == {"checked": 2, "disagreed": 1}


def test_only_programs_that_beat_what_their_plan_saw_are_evaluated_twice(tmp_path):
    rows = evolve.run(str(PARABOLA), steps=60, seed=3, archive=tmp_path / "a.db").steps()
    best: list[float] = []
    for row in sorted(rows, key=lambda row: row["version"]):
        news = row["objective"] is not None and row["reused_from"] is None
        best.append(min([*best[-1:], *([row["objective"]] if news else [])]))
    for row in rows[1:]:
        if row["reused_from"] is None:
            better = row["objective"] is not None and row["objective"] < best[row["planned_version"]]
            assert row["verified"] == (True if better else None)
    assert all(row["verified"] for row in rows if row["improved"])


def test_a_run_without_verification_evaluates_once(tmp_path):
    where = folder_task(tmp_path / "t", COUNTED + "def evaluate(program):\n    return Score(float(count()))\n")
    run = evolve.run(str(where), steps=2, workers=1, settings={"stages": {"verify": False}}, archive=tmp_path / "a.db")
    evaluated = [row for row in run.steps() if row["reused_from"] is None and row["objective"] is not None]
    assert len((where / "log.txt").read_text()) == len(evaluated)
    assert run.summary()["verification"] == {"checked": 0, "disagreed": 0}


WAITING = (
    COUNTED
    + """
import os, time

def evaluate(program):
    answer = program.call("answer")
    n = count()
    last = pathlib.Path(__file__).with_name("last.txt")
    # A program that is evaluated a second time answers what was answered before; the first two are of the initial one.
    again, go = n > 2 and last.read_text() == repr(answer), pathlib.Path(__file__).with_name("go.txt").exists()
    last.write_text(repr(answer))
    if again and not go:
        pathlib.Path(__file__).with_name("here.txt").touch()
        time.sleep(600)
    return Score(abs(answer))
"""
)


def test_a_run_killed_between_two_evaluations_runs_both_again_and_counts_the_step_once(tmp_path):
    from test_kill import start, wait_until

    folder_task(tmp_path / "whole", WAITING)
    (tmp_path / "whole" / "go.txt").touch()
    options = {"steps": 12, "seed": 1, "workers": 1}
    reference = untimed(evolve.run(str(tmp_path / "whole"), archive=tmp_path / "whole.db", **options).steps())
    where = folder_task(tmp_path / "t", WAITING)
    process = start(tmp_path / "a.db", "run", str(where), "--steps", "12", "--seed", "1", "--workers", "1")
    assert wait_until((where / "here.txt").exists)
    process.kill()
    process.communicate()
    (where / "go.txt").touch()
    rows = untimed(evolve.resume(archive=tmp_path / "a.db", workers=1).steps())
    assert rows == reference
    # The evaluations of the step that was cut off, the first and the half of the second, came on top.
    assert len((where / "log.txt").read_text()) == len((tmp_path / "whole" / "log.txt").read_text()) + 2
