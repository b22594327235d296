import numpy as np
import pytest
from archive_kit import started, write_step

from evolve.archive.records import CallBegun, CallEnded, FoundLimit
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.archive.trajectory import progress
from evolve.program import Evaluation, Outcome


@pytest.fixture
def archive(where):
    with Archive.open(where, create=True) as opened:
        yield opened


def test_vectors_are_read_by_their_keys_in_half_precision(archive):
    _, writer = started(archive)
    with writer:
        writer.vector(b"one", np.array([0.1, -2.0]))
        writer.vector(b"two", np.array([1.0]))
    found = archive.vectors([b"one", b"two", b"three"])
    assert found.keys() == {b"one", b"two"}
    assert found[b"one"] == pytest.approx(np.array([0.1, -2.0]), rel=2**-11)
    assert found[b"one"].dtype == np.float32


def test_of_two_vectors_with_one_key_the_first_is_kept(archive):
    _, writer = started(archive)
    with writer:
        writer.vector(b"one", np.array([1.0]))
        writer.vector(b"one", np.array([2.0]))
    assert archive.vectors([b"one"])[b"one"].tolist() == [1.0]


def test_more_keys_than_a_statement_takes_are_read(archive):
    _, writer = started(archive)
    keys = [str(k).encode() for k in range(1200)]
    with writer:
        for key in keys:
            writer.vector(key, np.array([1.0]))
    assert archive.vectors(keys).keys() == set(keys)


def test_why_a_program_has_no_embedding_is_kept_by_step_and_attempt(archive):
    run, writer = started(archive)
    with writer:
        writer.unembedded(0, 0, "down")
        writer.unembedded(3, 1, "refused")
    assert archive.unembedded(run) == {(0, 0): "down", (3, 1): "refused"}


@pytest.mark.parametrize("limit", [None, 0.125])
def test_a_found_limit_is_read_back(archive, limit):
    run, writer = started(archive)
    assert archive.limit(run) is None
    with writer:
        writer.limit(FoundLimit(limit, 0.5, (0.25, 0.75)))
    assert archive.limit(run) == FoundLimit(limit, 0.5, (0.25, 0.75))


def test_what_embeddings_cost_is_the_run_s_and_no_step_s(archive):
    run, writer = started(archive)
    with writer:
        write_step(writer, 1, Evaluation(Outcome.CRASHED), cost_usd=0.25)
        for step, attempt, number in ((0, -1, 0), (0, 0, 0), (1, 0, 0), (1, 0, 1)):
            writer.embedding_call_begun(CallBegun(step, attempt, number, "openai/e", 0.5))
        writer.embedding_call_ended(CallEnded(0, -1, 0, "ok", tokens_in=100, usd=0.125))
        writer.embedding_call_ended(CallEnded(0, 0, 0, "ok", tokens_in=10, usd=0.0625))
        writer.embedding_call_ended(CallEnded(1, 0, 0, "timed_out", usd=0.5, presumed=True, error="silence"))
        writer.unembedded(1, 0, "silence")
    # The last one was cut off by a kill, and counts with what was reserved.
    shown = summary(archive, run)
    assert shown["embeddings"] == {"calls": 2, "tokens": 110, "failed": 1, "usd": 1.1875}
    assert shown["usd"] == archive.spent_usd(run) == 1.4375
    assert archive.embedding_calls(run) == {(0, -1): 1, (0, 0): 1, (1, 0): 2}
    assert archive.attempt_costs(run) == {(1, 0): 0.25}
    assert [point.usd for point in progress(archive, run)] == [0.1875, 1.4375]
