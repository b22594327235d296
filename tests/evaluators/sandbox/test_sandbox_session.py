"""Conversations with programs that are executed, each for real."""

import time

import pytest

from evolve.evaluators.base import ProgramFailed
from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Limits, Outcome

LIMITS = Limits(timeout_s=1.0, wall_timeout_s=30.0, memory_mb=200, max_processes=12, max_reply_mb=1)
LEVELS = [report.level for report in available_levels() if report.available]
DOUBLER = 'while read -r line; do echo "$((line * 2))"; done; echo bye; exit 4'


@pytest.fixture(scope="module", params=LEVELS)
def server(request):
    with ForkServer(SandboxSettings("main.sh", LIMITS, request.param, command=("/bin/sh", "main.sh"))) as server:
        yield server


def program_of(server, script):
    return SandboxedProgram(server, {"main.sh": script}, 0)


def fails(server, script, talk):
    with program_of(server, script) as program, program.session() as session, pytest.raises(ProgramFailed) as caught:
        talk(session)
    return caught.value


def test_questions_are_answered_line_by_line(server):
    with program_of(server, DOUBLER) as program:
        with program.session() as session:
            for number in range(50):
                session.send(str(number))
                assert int(session.receive_line()) == 2 * number
            assert session.returncode is None
            session.close_input()
            assert session.receive_line() == b"bye"
            assert session.wait() == session.returncode == 4
        assert 0 < session.cpu_s < 0.5
        assert program.cpu_s == pytest.approx(session.cpu_s)


def test_bytes_are_counted_and_need_no_line(server):
    with program_of(server, "cat") as program, program.session() as session:
        session.send(b"abcdef")
        assert session.receive(4) == b"abcd"
        session.send(b"\x00\xff")
        assert session.receive(4) == b"ef\x00\xff"


def test_a_last_line_needs_no_end_and_a_carriage_return_is_part_of_it(server):
    with program_of(server, r"printf 'one\r\ntwo'") as program, program.session() as session:
        assert [session.receive_line(), session.receive_line()] == [b"one", b"two"]


def test_more_than_pipes_hold_is_sent_and_received(server):
    with program_of(server, "cat") as program, program.session() as session:
        session.send(b"x" * 900_000)
        assert session.receive(900_000) == b"x" * 900_000


def test_arguments_reach_it_and_another_can_follow(server):
    with program_of(server, 'echo "$1"') as program:
        for word in ("a", "b"):
            with program.session([word]) as session:
                assert session.receive_line() == word.encode()
        assert program.execute(["c"]).stdout == b"c\n"


def test_one_at_a_time(server):
    with program_of(server, DOUBLER) as program, program.session(), pytest.raises(RuntimeError, match="a session of the program"):
        program.execute()


def test_an_end_without_an_answer_says_how_and_stays_a_failure(server):
    with program_of(server, "echo why >&2; exit 7") as program, program.session() as session:
        for _ in range(2):
            with pytest.raises(ProgramFailed) as caught:
                session.receive_line()
            assert caught.value.outcome is Outcome.CRASHED
            assert "exited with status 7 before it answered\nIt printed to standard error:\nwhy" in caught.value.feedback


def test_closing_its_output_is_told_from_ending(server):
    failed = fails(server, "exec 1>&-; sleep 60", lambda session: session.receive_line())
    assert "closed its output" in failed.feedback


def test_an_answer_can_be_given_a_deadline_of_its_own(server):
    started = time.monotonic()
    failed = fails(server, "sleep 600", lambda session: session.receive_line(timeout_s=0.2))
    assert failed.outcome is Outcome.TIMED_OUT
    assert failed.timing_dependent
    assert "within 0.2 s" in failed.feedback
    assert time.monotonic() - started < 20


def test_thinking_too_long_is_stopped_by_its_cpu_time(server):
    failed = fails(server, "while :; do :; done", lambda session: session.receive_line())
    assert failed.outcome is Outcome.TIMED_OUT
    assert not failed.timing_dependent


def test_a_line_without_end_is_invalid(server):
    failed = fails(server, "yes | tr -d '\\n'", lambda session: session.receive_line())
    assert failed.outcome is Outcome.INVALID
    assert "max_reply_mb" in failed.feedback


def test_asking_for_more_than_may_be_said_is_the_callers_mistake(server):
    with program_of(server, "cat") as program, program.session() as session, pytest.raises(ValueError, match="max_reply_mb"):
        session.receive(2**21)


def test_what_it_prints_in_the_end_is_dropped(server):
    with program_of(server, "yes | head -c 3000000; exit 5") as program, program.session() as session:
        assert session.wait() == 5


def test_leaving_ends_it(server):
    with program_of(server, "sleep 600") as program:
        started = time.monotonic()
        with program.session():
            pass
        assert time.monotonic() - started < 20
