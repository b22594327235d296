"""Smoke, repeats, held-out data and fresh sandboxes, as an executor runs them."""

import asyncio
import dataclasses
from pathlib import Path

import pytest
from executor_kit import SABOTEUR, is_running

from evolve.executors.local import LocalExecutor
from evolve.program import Isolation, Limits, Objective, Outcome, Smoke, Stage, Task

DRAW = {"initial.py": "import random\n\ndef answer():\n    return random.random()\n"}
SHA = "0" * 64


def folder(where: Path, text: str, **more) -> Task:
    (where / "evaluate.py").write_text("from evolve.evaluators import Invalid, Score\n" + text)
    return Task("staged", DRAW, folder=where, evaluator_sha256=SHA, limits=Limits(timeout_s=20.0), **more)


def run(task, body, **options):
    async def inside():
        async with LocalExecutor(task, **options) as executor:
            return await body(executor)

    return asyncio.run(inside())


def evaluated(task, files=DRAW, **options):
    async def body(executor):
        return (await executor.evaluate(files, seed=7, **options)).evaluation

    return run(task, body)


EVALUATE = "def evaluate(program):\n    return Score(program.call('answer'), instances={'one': 1.0})\n"


def test_repeats_are_measured_with_seeds_of_their_own_and_repeat(tmp_path):
    task = folder(tmp_path, EVALUATE, objective=Objective(repeats=3))
    first, again = evaluated(task), evaluated(task)
    assert len(set(first.values)) == 3
    assert first.values == again.values
    assert first.objective == pytest.approx(sum(first.values) / 3)
    assert first.standard_error > 0
    assert first.instances == {"one": 1.0}


def test_a_repeat_that_fails_fails_the_evaluation(tmp_path):
    files = {"initial.py": "import random\n\ndef answer():\n    assert random.random() < 0.6\n    return 1.0\n"}
    task = folder(tmp_path, EVALUATE, objective=Objective(repeats=20))
    found = evaluated(task, files)
    assert found.outcome is Outcome.CRASHED
    assert found.objective is None
    assert found.values == ()


def test_a_program_that_fails_smoke_is_not_evaluated(tmp_path):
    task = folder(tmp_path, "def smoke(program):\n    raise Invalid('smoke')\ndef evaluate(program):\n    raise SystemExit\n")
    found = evaluated(task)
    assert (found.outcome, found.stage, found.feedback) == (Outcome.INVALID, Stage.SMOKE, "smoke")


def test_smoke_runs_in_the_process_that_is_evaluated(tmp_path):
    files = {"initial.py": "calls = []\n\ndef answer():\n    calls.append(1)\n    return len(calls)\n"}
    task = folder(tmp_path, "def smoke(program):\n    program.call('answer')\n" + EVALUATE)
    found = evaluated(task, files)
    assert (found.objective, found.stage) == (2.0, Stage.EVALUATE)


@pytest.mark.parametrize(("value", "words"), [(0.5, ""), (0.4, "at least 0.5 is needed"), (float("nan"), "not a finite number")])
def test_the_threshold_of_smoke_is_inclusive(tmp_path, value, words):
    task = folder(tmp_path, f"def smoke(program):\n    return Score(float('{value}'))\n" + EVALUATE, smoke=Smoke(threshold=0.5))
    found = evaluated(task)
    assert found.outcome is (Outcome.INVALID if words else Outcome.OK)
    assert found.stage is (Stage.SMOKE if words else Stage.EVALUATE)
    assert words in found.feedback


def test_smoke_is_ended_at_its_own_limit_while_it_runs(tmp_path):
    files = {"initial.py": "def answer():\n    while True:\n        pass\n"}
    task = folder(tmp_path, "def smoke(program):\n    program.call('answer')\n" + EVALUATE, smoke=Smoke(timeout_s=0.3))
    found = evaluated(task, files)
    assert (found.outcome, found.stage) == (Outcome.TIMED_OUT, Stage.SMOKE)
    assert "0.3" in found.feedback
    assert found.cpu_s < 3


def test_what_smoke_must_return_is_named(tmp_path):
    found = evaluated(folder(tmp_path, "def smoke(program):\n    return True\n" + EVALUATE))
    assert (found.outcome, found.stage) == (Outcome.EVALUATOR_FAILED, Stage.SMOKE)
    assert "smoke must return None or a Score" in found.feedback


def test_held_out_data_is_scored_only_when_asked_for(tmp_path):
    task = folder(tmp_path, EVALUATE + "def holdout(program):\n    return Score(-5.0)\n")

    async def body(executor):
        return await executor.holdout(DRAW, seed=7)

    found = run(task, body)
    assert (found.objective, found.stage) == (-5.0, Stage.HOLDOUT)
    assert evaluated(task).objective != -5.0


def test_a_task_without_held_out_data_has_no_such_score(tmp_path):
    async def body(executor):
        return await executor.holdout(DRAW, seed=7)

    assert run(folder(tmp_path, EVALUATE), body) is None


def test_a_fresh_evaluation_gives_what_the_first_one_gave(tmp_path):
    task = folder(tmp_path, EVALUATE)
    assert evaluated(task, fresh=True).objective == evaluated(task).objective


def test_a_program_that_takes_a_fresh_sandbox_down_leaves_nothing(tmp_path):
    task = folder(
        tmp_path,
        "from evolve.evaluators import ProgramFailed\n"
        "def evaluate(program):\n    pid = program.call('daemon')\n    try:\n        program.call('answer')\n"
        "    except ProgramFailed as failed:\n        raise ProgramFailed(failed.outcome, str(pid)) from None\n",
    )

    async def body(executor):
        found = (await executor.evaluate({"initial.py": SABOTEUR}, seed=0, fresh=True)).evaluation
        left = is_running(int(found.feedback))
        return found, left

    found, left = run(task, body, isolation=Isolation.PROCESS)
    assert found.outcome is Outcome.CRASHED
    assert not left


def test_losing_one_sandbox_leaves_the_other_at_work(tmp_path, caplog):
    task = folder(tmp_path, "def evaluate(program):\n    return Score(program.call('answer'))\n")

    async def body(executor):
        fresh = (await executor.evaluate(DRAW, seed=1, fresh=True)).evaluation.objective
        await executor.evaluate({"initial.py": SABOTEUR}, seed=1)
        return fresh, (await executor.evaluate(DRAW, seed=1, fresh=True)).evaluation.objective

    one, other = run(task, body, isolation=Isolation.PROCESS)
    assert one == other
    assert "a worker ended" not in caplog.text


def test_huge_values_neither_end_the_worker_nor_the_run(tmp_path):
    files = {"initial.py": "def answer():\n    return 1.7e308\n"}
    found = evaluated(folder(tmp_path, EVALUATE, objective=Objective(repeats=3)), files)
    assert found.objective == 1.7e308
    assert found.standard_error == 0.0


PAIRED = "import random\n" + EVALUATE + "def paired(program, number):\n    return Score(random.Random(number).random())\n"


def test_a_paired_measurement_has_its_randomness_from_the_seed_alone(tmp_path):
    async def body(executor):
        other = {"initial.py": "def answer():\n    return 0.0\n"}
        return [(await executor.paired(files, seed=seed)).evaluation for files, seed in ((DRAW, 1), (other, 1), (DRAW, 2))]

    first, same, different = run(folder(tmp_path, PAIRED), body)
    assert first.objective == same.objective != different.objective
    assert {each.stage for each in (first, same, different)} == {Stage.PAIRED}


def test_smoke_does_not_run_before_a_paired_measurement(tmp_path):
    async def body(executor):
        return (await executor.paired(DRAW, seed=1)).evaluation

    assert run(folder(tmp_path, "def smoke(program):\n    raise Invalid('smoke')\n" + PAIRED), body).ok


def test_an_evaluator_may_train_for_longer_than_its_program_may_take(tmp_path):
    text = "import time\ndef evaluate(program):\n    time.sleep(1.5)\n    return Score(1.0)\n"
    hung, patient = (
        evaluated(
            dataclasses.replace(folder(tmp_path, text), limits=Limits(timeout_s=0.1, wall_timeout_s=0.2, evaluator_timeout_s=own_s))
        )
        for own_s in (0.5, 60.0)
    )
    assert (hung.outcome, patient.outcome) == (Outcome.EVALUATOR_FAILED, Outcome.OK)
    assert "0.5 s for itself, limits.evaluator_timeout_s" in hung.feedback
