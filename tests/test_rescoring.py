"""A run's programs are scored again after the evaluator has changed, into a run of their own."""

import shutil

import pytest
from conftest import PARABOLA, untimed
from test_kill import start, wait_until
from test_opening import committed

import evolve
from evolve.errors import ConfigError, TaskError
from evolve.rescoring import _ranks


def change(folder, score: str) -> None:
    """Gives the task an evaluator that scores ``x`` otherwise."""
    text = (PARABOLA / "evaluate.py").read_text()
    (folder / "evaluate.py").write_text(text.replace("(x - 3) ** 2", score))


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(PARABOLA, tmp_path / "task")
    return tmp_path / "task"


@pytest.fixture
def old(folder, tmp_path):
    """A run of thirty steps that minimises (x - 3)^2."""
    return evolve.run(str(folder), steps=30, seed=1, archive=tmp_path / "a.db", name="old")


def test_every_distinct_program_that_scored_is_scored_anew(folder, old, tmp_path):
    before = [row for row in old.steps() if row["objective"] is not None and row["reused_from"] is None]
    change(folder, "abs(x + 3)")
    result = evolve.rescore("old", archive=tmp_path / "a.db", name="new")
    assert {row.program for row in result.programs} == {row["program"] for row in before}
    values = {row["program"]: row["metrics"]["x"] for row in before}
    assert all(row.after == abs(values[row.program] + 3) for row in result.programs)
    assert [row.after for row in result.programs] == sorted(row.after for row in result.programs)
    new = evolve.Archive.open(tmp_path / "a.db")
    with new as archive:
        record = archive.run_record(result.run)
        assert (record.name, record.rescores) == ("new", old.number)
        assert archive.run_record(old.number).rescores is None
    assert untimed(old.steps()) == untimed(evolve.api.Run(str(tmp_path / "a.db"), old.number).steps())


def test_the_rescored_run_is_a_run_like_any_other(folder, old, tmp_path):
    where = tmp_path / "a.db"
    change(folder, "abs(x + 3)")
    result = evolve.rescore("old", archive=where, name="new")
    run = evolve.api.Run(str(where), result.run)
    shown = run.summary()
    assert (shown["status"], shown["steps"], shown["usd"], shown["calls"]) == ("finished", {"asked": 0, "done": 0}, 0, 0)
    assert shown["initial"]["objective"] == 4.0
    assert shown["best"]["objective"] == result.programs[0].after
    assert evolve.replay("new", archive=where).differences == ()
    assert evolve.resume("new", archive=where).summary()["steps"] == {"asked": 0, "done": 0}
    onward = evolve.run(str(folder), steps=2, start=["new"], archive=where)
    assert onward.summary()["initial"]["objective"] == result.programs[0].after
    assert evolve.resume("new", steps=3, archive=where).summary()["steps"] == {"asked": 3, "done": 3}
    assert evolve.replay("new", archive=where).differences == ()


def test_top_takes_the_best_and_the_initial_program(folder, old, tmp_path):
    change(folder, "abs(x + 3)")
    result = evolve.rescore("old", top=2, archive=tmp_path / "a.db")
    shown = old.summary()
    assert {shown["best"]["program"], shown["initial"]["program"]} < {row.program for row in result.programs}
    assert len(result.programs) == 3
    with pytest.raises(ConfigError, match="top must be >= 1, got 0"):
        evolve.rescore("old", top=0, archive=tmp_path / "a.db")


def test_an_evaluator_that_has_not_changed_scores_nothing_unless_told_to(old, tmp_path):
    where = tmp_path / "a.db"
    assert evolve.rescore("old", archive=where).run is None
    with evolve.Archive.open(where) as archive:
        assert archive.run_numbers() == [1]
    forced = evolve.rescore("old", force=True, archive=where)
    assert all((row.before, row.rank_before) == (row.after, row.rank_after) for row in forced.programs)


def test_the_same_command_goes_on_and_shows_again(folder, old, tmp_path):
    where = tmp_path / "a.db"
    change(folder, "abs(x + 3)")
    n_programs = len(evolve.rescore("old", archive=where, top=30).programs)
    change(folder, "abs(x + 4)")
    already = committed(where, "evaluations")
    process = start(where, "rescore", "old", "--workers", "1")
    assert wait_until(lambda: committed(where, "evaluations") >= already + 3 or process.poll() is not None)
    process.kill()
    process.communicate()
    assert committed(where, "additions") == 31 + n_programs
    first = evolve.rescore("old", archive=where)
    again = evolve.rescore("old", archive=where)
    assert (first.run, first.programs) == (again.run, again.programs)
    assert again.ending is None
    # Each program was evaluated once by each of the two evaluators.
    assert committed(where, "evaluations") == already + n_programs
    with evolve.Archive.open(where) as archive:
        assert archive.run_numbers() == [1, 2, 3]


def test_a_program_that_no_longer_scores_has_no_rank(folder, old, tmp_path):
    change(folder, "(x - 3) ** 2 if x == 1.0 else float('nan')")
    result = evolve.rescore("old", archive=tmp_path / "a.db")
    assert (result.programs[0].after, result.programs[0].rank_after) == (4.0, 1)
    failed = [row for row in result.programs if row.after is None]
    assert failed == list(result.programs[-len(failed) :])
    assert {(row.outcome, row.rank_after) for row in failed} == {("invalid", None)}


def test_an_evaluator_by_which_nothing_scores_is_named(folder, old, tmp_path):
    change(folder, "float('nan')")
    with pytest.raises(TaskError, match=r"starting point old/\w+ does not score \(nor does any of the other"):
        evolve.rescore("old", archive=tmp_path / "a.db")


def test_what_changed_is_counted_by_the_direction_of_the_objective(folder, old, tmp_path):
    change(folder, "abs(x + 3)")
    result = evolve.rescore("old", archive=tmp_path / "a.db")
    changes = result.changes
    assert changes.better == sum(row.after < row.before for row in result.programs)
    assert changes.worse == sum(row.after > row.before for row in result.programs) > 0
    assert (changes.failed, changes.best) == (0, result.programs[0])
    assert changes.best_before.program == old.summary()["best"]["program"]
    assert changes.moved == sum(row.rank_after != row.rank_before for row in result.programs)


def test_programs_without_a_score_now_are_counted_apart(folder, old, tmp_path):
    change(folder, "(x - 3) ** 2 if x == 1.0 else float('nan')")
    changes = evolve.rescore("old", archive=tmp_path / "a.db").changes
    assert (changes.better, changes.worse) == (0, 0)
    assert changes.failed > 0
    assert changes.best.before == 4.0
    assert changes.best_before.after is None


def test_a_watcher_is_told_of_every_program_as_it_is_scored(folder, old, tmp_path):
    told = []

    class Watching:
        def scored(self, evaluation, total):
            told.append((evaluation.objective, total))

    change(folder, "abs(x + 3)")
    result = evolve.rescore("old", archive=tmp_path / "a.db", watcher=Watching())
    assert sorted(objective for objective, _ in told) == [row.after for row in result.programs]
    assert {total for _, total in told} == {len(result.programs)}


def test_equal_scores_share_a_rank():
    assert _ranks({"a": 1.0, "b": 2.0, "c": 2.0, "d": 0.0}) == {"b": 1, "c": 1, "a": 3, "d": 4}
