import pytest
from archive_kit import plan_of, started

from evolve.archive.billing import begun, billed
from evolve.archive.records import CallBegun, CallEnded
from evolve.archive.store import Archive
from evolve.archive.tables import call_ends, calls, embedding_call_ends, embedding_calls, judge_call_ends, judge_calls


@pytest.fixture
def archive(where):
    with Archive.open(where, create=True) as opened:
        yield opened


@pytest.mark.parametrize(
    ("kind", "made", "ends"),
    [("", calls, call_ends), ("embedding_", embedding_calls, embedding_call_ends), ("judge_", judge_calls, judge_call_ends)],
)
def test_a_call_counts_with_what_it_cost_or_with_what_was_reserved_until_that_is_known(archive, kind, made, ends):
    run, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
        for number in range(2):
            getattr(writer, f"{kind}call_begun")(CallBegun(1, 0, number, "openai/m", 0.5))
        getattr(writer, f"{kind}call_ended")(CallEnded(1, 0, 0, "ok", tokens_in=3, usd=0.125))
    with archive.read() as connection:
        paid = sorted(tuple(row) for row in connection.execute(billed(made, ends, run)))
        assert paid == [(1, 0, 0.125), (1, 0, 0.5)]
        assert begun(connection, made, run) == {(1, 0): 2}
