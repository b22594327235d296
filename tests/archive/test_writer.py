import logging
import os
import sqlite3
import subprocess
import sys

import pytest
from archive_kit import INITIAL, begin, child_of, new_run, ok, plan_of, started, write_step

from evolve.archive.records import Addition, Screen, Verdict
from evolve.archive.store import Archive
from evolve.archive.writer import _CACHED_PROGRAMS
from evolve.errors import ArchiveError, RunNotFound
from evolve.program import Outcome, Program, Reply


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def archive(where, clock):
    with Archive.open(where, create=True, clock=clock) as opened:
        yield opened


# Commits


def test_nothing_is_on_disk_before_commit(archive):
    run, writer = started(archive)
    writer.plan(plan_of(1))
    assert archive.history(run)[1] == []
    writer.commit()
    assert len(archive.history(run)[1]) == 1
    writer.close()


def test_a_commit_is_all_or_nothing(archive):
    run, writer = started(archive)
    writer.plan(plan_of(1))
    writer.plan(plan_of(2))
    writer.reply(3, 0, Reply("of a step that has no plan"))
    with pytest.raises(ArchiveError, match="repeats or contradicts"):
        writer.commit()
    writer.close()
    assert archive.history(run)[1] == []


@pytest.mark.parametrize(
    "write",
    [
        lambda writer: writer.plan(plan_of(1)),
        lambda writer: writer.reply(1, 0, Reply("another answer")),
        lambda writer: writer.screen(Screen(1, 0, 0, Verdict.KNOWN)),
        lambda writer: writer.program(Program.make(1, {"initial.py": "x"}), "mark"),
        lambda writer: writer.evaluation(1, child_of(INITIAL, 1).program_id, ok(9.0)),
        lambda writer: writer.addition(Addition(2, 1, Outcome.OK)),
        lambda writer: writer.addition(Addition(1, 2, Outcome.OK)),
    ],
)
def test_no_record_is_ever_replaced(archive, write):
    run, writer = started(archive)
    write_step(writer, 1, ok(2.0))
    before = archive.history(run)
    write(writer)
    with pytest.raises(
        ArchiveError, match=r"a record repeats or contradicts an earlier one, and none is replaced \((UNIQUE|duplicate key)"
    ):
        writer.commit()
    writer.close()
    assert archive.history(run) == before


def test_an_identifier_is_unique_within_its_run(archive):
    _, writer = started(archive)
    writer.plan(plan_of(1))
    writer.program(Program(INITIAL.program_id, 1, {"initial.py": "x"}), "mark")
    with pytest.raises(
        ArchiveError, match=r"UNIQUE constraint failed: programs\.program_id|unique constraint .programs_program_id_run_key"
    ):
        writer.commit()
    writer.close()


def test_an_evaluation_of_another_steps_program_is_refused(archive):
    _, writer = started(archive)
    writer.program(child_of(INITIAL, 1), "mark")
    with pytest.raises(ValueError, match="is step 1's; its evaluation was given for step 2"):
        writer.evaluation(2, child_of(INITIAL, 1).program_id, ok(1.0))
    writer.close()


def test_leaving_after_an_error_writes_nothing_more(archive):
    run, writer = started(archive)
    writer.plan(plan_of(1))
    with pytest.raises(KeyError), writer:
        raise KeyError
    assert archive.history(run)[1] == []
    archive.writer(run).close()


# Reading programs


def test_programs_just_written_and_programs_of_old_read_the_same(archive):
    run, writer = started(archive)
    program = write_step(writer, 1, ok(2.0, feedback="good"))
    assert writer.program_of(program.program_id) == (program, ok(2.0, feedback="good"))
    writer.close()
    with archive.writer(run) as fresh:
        assert fresh.program_of(program.program_id) == (program, ok(2.0, feedback="good"))
        assert fresh.program_of(INITIAL.program_id) == (INITIAL, ok(1.0))


def test_a_program_that_was_not_scored_is_no_parent(archive):
    _, writer = started(archive)
    writer.plan(plan_of(1))
    writer.program(child_of(INITIAL, 1), "mark")
    writer.commit()
    for name in (child_of(INITIAL, 1).program_id, "nonsense"):
        with pytest.raises(RunNotFound, match=f"has no scored program '{name}'"):
            writer.program_of(name)
    writer.close()


def test_the_cache_of_programs_is_bounded_and_what_left_it_is_read_again(archive):
    _, writer = started(archive)
    made = []
    for step in range(1, _CACHED_PROGRAMS + 10):
        made.append(Program.make(step, {"initial.py": f"x = {step}\n"}, (INITIAL,)))
        writer.plan(plan_of(step))
        writer.program(made[-1], "mark")
        writer.evaluation(step, made[-1].program_id, ok(float(step)))
    writer.commit()
    assert len(writer._programs) == _CACHED_PROGRAMS
    assert writer.program_of(made[0].program_id) == (made[0], ok(1.0))
    writer.close()


# The session


def test_status_is_what_the_session_said(archive):
    run, writer = started(archive)
    writer.status("running", asked_steps=50, seconds=1.5)
    assert (archive.session(run).status, archive.session(run).writing) == ("running", True)
    writer.status("finished", asked_steps=50, seconds=9.0)
    writer.close()
    session = archive.session(run)
    assert (session.status, session.asked_steps, session.seconds, session.writing) == ("finished", 50, 9.0, False)


def test_a_session_goes_on_from_where_the_last_one_stopped(archive):
    run, writer = started(archive)
    assert archive.session(run).asked_steps == 10  # as configured
    writer.status("stopped", asked_steps=50, reason="max_seconds is up", seconds=3.0)
    writer.close()
    assert archive.session(run).reason == "max_seconds is up"
    with archive.writer(run):
        session = archive.session(run)
        assert (session.status, session.asked_steps, session.seconds, session.reason) == ("running", 50, 3.0, "")


def test_a_heartbeat_keeps_the_seconds_of_a_run_that_is_killed(archive):
    run, writer = started(archive)
    writer.heartbeat(12.5)
    assert archive.session(run).seconds == 12.5
    writer.close()


def test_a_writer_that_leaves_without_a_word_has_stopped(archive):
    run, writer = started(archive)
    writer.close()
    assert archive.session(run).status == "stopped"


# The lock


def test_a_second_writer_of_the_same_process_is_refused(archive):
    run, writer = started(archive)
    with pytest.raises(
        ArchiveError, match=rf"run packing-1 is being written by process {os.getpid()} on .* since 1970-01-01 00:16:40 UTC"
    ):
        archive.writer(run)
    writer.close()
    archive.writer(run).close()


def test_another_run_may_be_written_meanwhile(archive):
    _, first = started(archive)
    _, second = started(archive)
    write_step(first, 1, ok(1.0))
    write_step(second, 1, ok(2.0))
    first.close()
    second.close()


HOLD = """
import sys
from evolve.archive.store import Archive
archive = Archive.open(sys.argv[1])
writer = archive.writer(1)
print("held", flush=True)
input()
"""


def holder_of(where) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(where)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_writer_in_another_process_is_named_and_its_death_frees_the_run(archive, where):
    run = archive.create_run(new_run())
    process = holder_of(where)
    try:
        assert archive.session(run).status == "running"
        with pytest.raises(ArchiveError, match=rf"process {process.pid} on .*; wait for it, or stop it with `kill {process.pid}`"):
            archive.writer(run)
    finally:
        process.kill()
        process.communicate()
    assert archive.session(run).status == "stopped"
    with archive.writer(run) as writer:
        begin(writer)


def elsewhere(archive) -> None:
    """Makes the latest session one of another machine."""
    with archive._database.write() as connection:
        connection.exec_driver_sql("UPDATE sessions SET host = 'node7', place = 'another machine'")


def test_a_writer_on_another_machine_is_waited_for_until_it_is_silent(archive, clock):
    run, writer = started(archive)
    elsewhere(archive)
    clock.now += 59
    with pytest.raises(
        ArchiveError, match=r"on node7 since .*, last heard of 59 s ago; stop it there, or, if that machine is gone"
    ):
        archive.writer(run)
    clock.now += 2
    assert archive.session(run).status == "stopped"
    archive.writer(run).close()
    writer.close()


def test_a_writer_that_was_taken_over_writes_nothing_more(archive, clock):
    run, old = started(archive)
    elsewhere(archive)
    clock.now += 61
    with archive.writer(run) as new:
        new.plan(plan_of(1))
    old.plan(plan_of(2))
    with pytest.raises(ArchiveError, match="run 1 was taken over by another process"):
        old.commit()
    old.close()
    assert [item.plan.step for item in archive.history(run)[1]] == [1]


def test_a_lock_that_cannot_be_given_back_hides_no_error(tmp_path, caplog):
    with Archive.open(tmp_path / "a.db", create=True, timeout_s=0.05) as archive:
        _, writer = started(archive)
        other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.WARNING), pytest.raises(KeyError), writer:
            raise KeyError
        other.close()
    assert "the writer lock stays until this process ends" in caplog.text


def test_closing_twice_does_nothing(archive):
    _, writer = started(archive)
    writer.close()
    writer.close()
