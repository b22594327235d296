import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "archive"))
from archive_kit import plan_of, started

from evolve.archive.records import CallBegun, CallEnded
from evolve.archive.store import Archive
from evolve.ledger import RunLedger, SideLedger
from evolve.program import Reply


@pytest.fixture
def archive(tmp_path):
    with Archive.open(tmp_path / "a.db", create=True) as opened:
        yield opened


def count(archive, table):
    from sqlalchemy import text

    with archive.read() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_a_call_is_on_disk_before_it_is_sent(archive):
    _, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
        RunLedger(writer).began(CallBegun(1, 0, 0, "fake/model", 0.5))
        assert count(archive, "calls") == 1


def test_an_answer_is_billed_in_one_transaction_with_its_reply(archive):
    _, writer = started(archive)
    ledger = RunLedger(writer)
    with writer:
        writer.plan(plan_of(1))
        ledger.began(CallBegun(1, 0, 0, "fake/model", 0.5))
        ledger.ended(CallEnded(1, 0, 0, "ok", usd=0.25))
        assert count(archive, "call_ends") == 0
        writer.reply(1, 0, Reply("an edit", cost_usd=0.25))
        writer.commit()
        assert (count(archive, "call_ends"), count(archive, "replies")) == (1, 1)


def test_a_failure_is_on_disk_at_once(archive):
    _, writer = started(archive)
    ledger = RunLedger(writer)
    with writer:
        writer.plan(plan_of(1))
        ledger.began(CallBegun(1, 0, 0, "fake/model", 0.5))
        ledger.ended(CallEnded(1, 0, 0, "timed_out", usd=0.5, presumed=True))
        assert count(archive, "call_ends") == 1


def test_numbers_go_on_where_an_earlier_session_ended(archive):
    run, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
        RunLedger(writer).began(CallBegun(1, 0, 0, "fake/model", 0.5))
    _, pending = archive.history(run)
    with archive.writer(run) as writer:
        assert RunLedger(writer, pending).number(1, 0) == 1
        assert RunLedger(writer, pending).number(1, 1) == 0


def test_calls_on_the_side_have_tables_of_their_own_and_are_billed_with_what_they_brought(archive):
    _, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
        writer.commit()
        for ledger, table in (
            (SideLedger.of_embeddings(writer, {}), "embedding_call"),
            (SideLedger.of_judgements(writer, {}), "judge_call"),
        ):
            ledger.began(CallBegun(1, 0, 0, "fake/model", 0.5))
            assert count(archive, f"{table}s") == 1
            ledger.ended(CallEnded(1, 0, 0, "timed_out", usd=0.5, presumed=True))
            assert count(archive, f"{table}_ends") == 1
            ledger.began(CallBegun(1, 0, ledger.number(1, 0), "fake/model", 0.5))
            ledger.ended(CallEnded(1, 0, 1, "ok", usd=0.25))
            assert count(archive, f"{table}_ends") == 1
            writer.commit()
            assert count(archive, f"{table}_ends") == 2
    assert count(archive, "calls") == 0


def test_numbers_of_calls_on_the_side_go_on_where_an_earlier_session_ended(archive):
    _, writer = started(archive)
    with writer:
        ledger = SideLedger.of_judgements(writer, {(1, 0): 2})
        assert (ledger.number(1, 0), ledger.number(1, 1)) == (2, 0)
