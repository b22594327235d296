import pytest
from archive_kit import plan_of, started, write_step

from evolve.archive.queries import attempts
from evolve.archive.records import CallBegun, CallEnded, Judgement, Likeness
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.archive.trajectory import progress
from evolve.program import Evaluation, Outcome

SAME = Judgement(1, 0, Likeness.SAME, "only names", "openai/j", "[]", "SAME: only names", 20, 5, 0.5)
FAILED = Judgement(1, 1, Likeness.UNKNOWN, source="openai/j", error="it is down")


@pytest.fixture
def archive(where):
    with Archive.open(where, create=True) as opened:
        yield opened


def test_judgements_are_read_back_by_step_and_attempt(archive):
    run, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
        writer.judgement(SAME)
        writer.judgement(FAILED)
    assert archive.judgements(run) == {(1, 0): SAME, (1, 1): FAILED}


def test_an_open_step_knows_what_was_judged_of_its_children(archive):
    run, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
        writer.judgement(SAME)
    _, [pending] = archive.history(run)
    assert pending.judgements == {0: SAME}


def test_what_a_judge_costs_is_the_run_s_and_no_step_s(archive):
    run, writer = started(archive)
    with writer:
        write_step(writer, 1, Evaluation(Outcome.CRASHED), cost_usd=0.25)
        for number in (0, 1, 2):
            writer.judge_call_begun(CallBegun(1, 0, number, "openai/j", 0.5))
        writer.judge_call_ended(CallEnded(1, 0, 0, "timed_out", usd=0.5, presumed=True, error="silence"))
        writer.judge_call_ended(CallEnded(1, 0, 1, "ok", tokens_in=20, tokens_out=5, usd=0.125))
        writer.judgement(SAME)
        writer.judgement(FAILED)
    # The last one was cut off by a kill, and counts with what was reserved.
    shown = summary(archive, run)
    assert shown["judge"] == {"calls": 1, "tokens": 25, "same": 1, "different": 0, "unknown": 1, "usd": 1.125}
    assert shown["usd"] == archive.spent_usd(run) == 1.375
    assert (shown["calls"], shown["tokens"]) == (2, 40)
    assert shown["arms"]["local/literals"]["usd"] == 0.25
    assert archive.judge_calls(run) == {(1, 0): 3}
    assert archive.attempt_costs(run) == {(1, 0): 0.25}
    assert [point.usd for point in progress(archive, run)] == [0.0, 1.375]


def test_an_attempt_says_what_was_judged_of_it(archive):
    run, writer = started(archive)
    with writer:
        write_step(writer, 1, Evaluation(Outcome.CRASHED))
        writer.judgement(SAME)
    [attempt] = attempts(archive, run, 1)
    assert attempt["judge"] == {"found": "same", "why": "only names", "source": "openai/j", "error": ""}
