import dataclasses

import numpy as np
import pytest
from archive_kit import EVALUATOR, INITIAL, begin, child_of, new_run, ok, plan_of, started, write_step

from evolve.archive.records import Addition, PendingStep, Screen, Settled, Verdict
from evolve.archive.store import Archive
from evolve.errors import ArchiveError, RunNotFound
from evolve.program import Direction, Evaluation, Isolation, Metric, Outcome, Program, Reply


@pytest.fixture
def archive(where):
    with Archive.open(where, create=True, clock=lambda: 1000.0) as opened:
        yield opened


# Runs


def test_runs_are_numbered_from_one_and_named_after_their_task(archive):
    assert [archive.create_run(new_run(task=task)) for task in ("packing", "packing", "sorting")] == [1, 2, 3]
    assert [archive.run_record(run).name for run in archive.run_numbers()] == ["packing-1", "packing-2", "sorting-3"]


def test_a_name_that_is_taken_is_refused(archive):
    archive.create_run(new_run("mine"))
    with pytest.raises(ArchiveError, match="has a run 'mine' already; choose another name, or `evolve resume mine`"):
        archive.create_run(new_run("mine"))
    assert archive.run_numbers() == [1]


def test_a_made_up_name_gives_way_to_one_that_a_user_chose(archive):
    archive.create_run(new_run("packing-2"))
    assert archive.run_record(archive.create_run(new_run())).name == "packing-2-2"


def test_a_name_of_digits_would_be_taken_for_a_number(archive):
    with pytest.raises(ArchiveError, match="cannot be called '12'"):
        archive.create_run(new_run("12"))


def test_what_is_known_of_a_run_comes_back(archive):
    new = new_run("mine", commit="c0ffee+changes", command="evolve run packing")
    record = archive.run_record(archive.create_run(new))
    for field in dataclasses.fields(new):
        assert getattr(record, field.name) == getattr(new, field.name)
    assert (record.number, record.created_at, record.initial_program, record.initial_files) == (1, 1000.0, None, {})


def test_a_seed_may_be_larger_than_the_integers_of_a_database(archive):
    run = archive.create_run(dataclasses.replace(new_run(), seed=2**100))
    assert archive.run_record(run).seed == 2**100


def test_the_initial_program_belongs_to_the_record_of_its_run(archive):
    run, writer = started(archive)
    writer.close()
    record = archive.run_record(run)
    assert (record.initial_program, record.initial_files) == (INITIAL.program_id, INITIAL.files)


def test_an_unknown_run_is_named(archive):
    for call in (archive.run_record, archive.writer):
        with pytest.raises(RunNotFound, match="has no run 7; `evolve runs` lists them"):
            call(7)


def test_a_direction_is_one_of_two(archive):
    with pytest.raises(ValueError, match="upwards"):
        archive.create_run(new_run(direction="upwards"))


def test_opening_twice_shows_the_same_archive(archive, where):
    archive.create_run(new_run())
    with Archive.open(where) as again, Archive.open(where, create=True) as third:
        assert again.run_numbers() == third.run_numbers() == [1]


# Programs and evaluations


def test_programs_come_back_whole(archive):
    run, writer = started(archive)
    files = {"pack.py": "x = 1\n", "lib/part.py": "def f():\n    return 'ü'\r\n", "empty.txt": ""}
    other = write_step(writer, 1, ok(2.0))
    program = Program.make(2, files, (other, INITIAL), {"literals.sigma": 0.1 + 0.2})
    evaluation = Evaluation(
        outcome=Outcome.OK,
        objective=2.635983084917607783,
        metrics={"zeta": Metric(-0.0), "gap": Metric(1e-300, Direction.MINIMIZE), "ü": Metric(3, Direction.MAXIMIZE)},
        feedback="circle 3 touches the wall\n" * 9,
        cpu_s=0.25,
        wall_s=0.5,
        isolation=Isolation.LANDLOCK,
        evaluator_sha256=EVALUATOR,
        timing_dependent=True,
        reused_from=other.program_id,
    )
    writer.plan(plan_of(2, other))
    writer.program(program, "mark")
    writer.evaluation(2, program.program_id, evaluation)
    writer.close()
    with archive.writer(run) as writer:
        writer.plan(plan_of(2, other))
        writer.program(program, "mark")
        writer.evaluation(2, program.program_id, evaluation)
    assert archive.program(run, program.program_id) == (program, evaluation)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_failed_evaluations_come_back_without_an_objective(archive, outcome):
    run, writer = started(archive)
    evaluation = Evaluation(outcome, feedback="why", evaluator_sha256="another evaluator")
    with writer:
        program = write_step(writer, 1, evaluation)
    assert archive.program(run, program.program_id) == (program, evaluation)


def test_a_program_that_was_not_scored_has_no_evaluation(archive):
    run, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
        writer.program(child_of(INITIAL, 1), "mark")
    assert archive.program(run, child_of(INITIAL, 1).program_id) == (child_of(INITIAL, 1), None)


def test_an_unknown_program_is_named(archive):
    run, writer = started(archive)
    writer.close()
    with pytest.raises(RunNotFound, match="run 1 has no program 'abc'"):
        archive.program(run, "abc")


def test_embeddings_come_back_in_step_order(archive):
    run, writer = started(archive)
    vectors = {}
    with writer:
        for step in (1, 2, 3):
            program = child_of(INITIAL, step)
            vectors[program.program_id] = np.full(8, step / 4, dtype=np.float32)
            writer.plan(plan_of(step))
            writer.program(program, "mark", vectors[program.program_id])
    read = archive.embeddings(run)
    assert list(read) == list(vectors)
    for name, vector in vectors.items():
        np.testing.assert_array_equal(read[name], vector)
    assert list(archive.embeddings(run, latest=2)) == list(vectors)[1:]


# History


def test_history_gives_every_finished_step_by_version(archive):
    run, writer = started(archive)
    with writer:
        first = write_step(writer, 2, ok(3.0), cost_usd=0.25, reward=0.5, improved=True, version=1)
        write_step(writer, 1, Evaluation(Outcome.CRASHED), parent=first, version=2)
    settled, pending = archive.history(run)
    second = child_of(first, 1)
    sizes = [len(program.files["initial.py"]) for program in (INITIAL, first, second)]
    assert pending == []
    assert settled == [
        Settled(Addition(0, 0, Outcome.OK, INITIAL.program_id, 0.0, True), None, "initial", 1.0, sizes[0]),
        Settled(Addition(1, 2, Outcome.OK, first.program_id, 0.5, True), plan_of(2), "mark 2", 3.0, sizes[1], False, 0.25),
        Settled(Addition(2, 1, Outcome.CRASHED, second.program_id), plan_of(1, first), "mark 1", None, sizes[2]),
    ]


def test_a_step_without_a_program_settles_too(archive):
    run, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
        writer.edit_failed(1, 0, "nothing to change")
        writer.addition(Addition(1, 1, Outcome.EDIT_FAILED))
    assert archive.history(run)[0][1] == Settled(Addition(1, 1, Outcome.EDIT_FAILED), plan_of(1))


def test_a_copied_evaluation_is_marked_in_the_history(archive):
    run, writer = started(archive)
    with writer:
        write_step(writer, 1, ok(1.0, reused_from=INITIAL.program_id))
    assert [item.reused for item in archive.history(run)[0]] == [False, True]


def test_a_pending_step_has_all_that_was_committed_of_it(archive):
    run, writer = started(archive)
    replies = [
        Reply("edit one", None, (), "please edit\n" * 9, 100, 20, 0.125, 1.5),
        Reply("edit two", {"sigma": 0.5}, (INITIAL.program_id,), "please edit, again\n" * 9),
    ]
    screen = Screen(3, 1, 0, Verdict.NEW, INITIAL.program_id, 0.75)
    with writer:
        writer.plan(plan_of(3))
        writer.plan(plan_of(1))
        writer.reply(3, 0, replies[0])
        writer.edit_failed(3, 0, "cannot apply: nothing there")
        writer.reply(3, 1, replies[1])
        writer.screen(screen)
        writer.program(child_of(INITIAL, 3), "mark")
        writer.evaluation(3, child_of(INITIAL, 3).program_id, ok(5.0))
    _, pending = archive.history(run)
    assert pending == [
        PendingStep(plan_of(1)),
        PendingStep(
            plan=plan_of(3),
            replies=dict(enumerate(replies)),
            edit_failures={0: "cannot apply: nothing there"},
            screens={1: screen},
            program=child_of(INITIAL, 3),
            evaluation=ok(5.0),
        ),
    ]
    assert pending[1].replies[0].latency_s == 1.5


def test_runs_of_one_archive_do_not_mix(archive):
    runs = [archive.create_run(new_run()) for _ in range(2)]
    for run, objective in zip(runs, (2.0, 3.0), strict=True):
        with archive.writer(run) as writer:
            begin(writer)
            write_step(writer, 1, ok(objective))
    assert [archive.history(run)[0][1].objective for run in runs] == [2.0, 3.0]


def test_runs_with_the_same_programs_store_their_texts_once(archive):
    for _ in range(2):
        _, writer = started(archive)
        with writer:
            write_step(writer, 1, ok(2.0))
    with archive.read() as connection:
        # Two sources and one reply.
        assert connection.exec_driver_sql("SELECT count(*) FROM texts").scalar() == 3
