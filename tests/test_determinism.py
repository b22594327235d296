"""The same configuration and seed give the same archive, row by row, however the work was spread and interrupted."""

import asyncio
from pathlib import Path

import pytest
from conftest import PARABOLA, untimed

import evolve
from evolve.archive.records import Addition
from evolve.search import Finished, Search

STEPS = 60


def rows(where, **options):
    return untimed(evolve.run(str(PARABOLA), steps=STEPS, archive=where, **options).steps())


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return rows(tmp_path_factory.mktemp("reference") / "a.db", seed=3, workers=1)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_strict_order_does_not_depend_on_the_number_of_workers(tmp_path, reference, workers):
    assert len(reference) == STEPS + 1
    assert rows(tmp_path / "a.db", seed=3, workers=workers) == reference


def test_another_seed_gives_another_archive(tmp_path, reference):
    assert rows(tmp_path / "a.db", seed=4, workers=2) != reference


def test_more_steps_for_a_finished_run_give_what_one_long_run_gives(tmp_path, reference):
    where = tmp_path / "a.db"
    evolve.run(str(PARABOLA), steps=STEPS // 3, seed=3, workers=2, archive=where)
    assert untimed(evolve.resume(steps=STEPS, archive=where).steps()) == reference


class StopAt:
    """Stops the run after so many additions, by failing like nothing that it handles: the process is gone."""

    class Killed(BaseException):
        pass

    def __init__(self, version: int) -> None:
        self.version = version

    def settled(self, addition: Addition, finished: Finished, search: Search) -> None:
        if addition.version == self.version:
            raise self.Killed


@pytest.mark.parametrize("version", [0, 1, 7, 40])
def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(tmp_path, reference, version):
    where = tmp_path / "a.db"
    with pytest.raises(StopAt.Killed):
        evolve.run(str(PARABOLA), steps=STEPS, seed=3, workers=2, archive=where, watcher=StopAt(version))
    assert untimed(evolve.resume(archive=where).steps()) == reference


@pytest.mark.parametrize("order", ["strict", "asap"])
def test_a_replay_finds_no_difference(tmp_path, order):
    where = tmp_path / "a.db"
    evolve.run(str(PARABOLA), steps=STEPS, workers=3, order=order, archive=where)
    assert evolve.replay(archive=where).differences == ()


def test_a_replay_finds_a_score_that_was_tampered_with(tmp_path):
    import sqlite3

    where = tmp_path / "a.db"
    rows = evolve.run(str(PARABOLA), steps=10, archive=where).steps()
    step = next(row["step"] for row in rows if row["step"] and row["objective"] is not None and row["reused_from"] is None)
    with sqlite3.connect(where) as connection:
        connection.execute("UPDATE evaluations SET objective = objective + 1 WHERE step = ?", (step,))
    connection.close()
    differences = evolve.replay(archive=where).differences
    assert any(text.startswith(f"step {step}: objective was") for text in differences)


def test_a_run_in_a_notebook_works_inside_a_running_event_loop(tmp_path):
    async def cell():
        return evolve.run(str(PARABOLA), steps=3, archive=tmp_path / "a.db")

    assert asyncio.run(cell()).summary()["steps"]["done"] == 3


def score_answer(program):
    return evolve.Score(-abs(program.call("answer") - 42.0))


def test_an_inline_task_runs_resumes_and_replays(tmp_path):
    where = tmp_path / "a.db"
    task = evolve.inline_task("answer", "def answer():\n    return 1.5\n", score_answer)
    run = evolve.run(task, steps=30, archive=where)
    assert run.best_objective > -40.5
    assert evolve.resume(steps=35, archive=where, task=task).summary()["steps"]["done"] == 35
    assert evolve.replay(archive=where, task=task).differences == ()


def test_an_inline_task_must_be_given_again_to_resume(tmp_path):
    where = tmp_path / "a.db"
    task = evolve.inline_task("answer", "def answer():\n    return 1.5\n", score_answer)
    evolve.run(task, steps=2, archive=where)
    with pytest.raises(evolve.EvolveError, match="was given its task 'answer' inline"):
        evolve.resume(steps=4, archive=where)
    assert Path(where).exists()


def test_runs_that_reject_near_copies_repeat_and_resume_as_well(tmp_path):
    settings = {"novelty": {"max_similarity": 0.7}}
    options = {"seed": 3, "settings": settings}
    whole = rows(tmp_path / "a.db", workers=1, **options)
    assert any(row["verdict"] == "near" for row in whole)
    assert any(row["outcome"] == "rejected" for row in whole)
    assert rows(tmp_path / "b.db", workers=3, **options) == whole
    where = tmp_path / "c.db"
    with pytest.raises(StopAt.Killed):
        evolve.run(str(PARABOLA), steps=STEPS, archive=where, watcher=StopAt(20), **options)
    assert untimed(evolve.resume(archive=where).steps()) == whole


def test_a_run_in_any_order_that_was_resumed_with_more_workers_replays(tmp_path):
    where = tmp_path / "a.db"
    settings = {"stages": {"proposals": 1}, "steps": 30}
    run = evolve.run(str(PARABOLA), settings=settings, workers=1, order="asap", archive=where)
    assert run.summary()["steps"]["asked"] == 30
    found = evolve.resume(steps=45, workers=4, archive=where).steps()
    versions = [row["planned_version"] for row in found[1:]]
    assert versions == sorted(versions)
    assert evolve.replay(archive=where).differences == ()
