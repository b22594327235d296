import pytest
from archive_kit import EVALUATOR, INITIAL, SOURCE, child_of, new_run, ok, started, write_step

from evolve.archive.queries import steps
from evolve.archive.records import Addition, Start
from evolve.archive.rescorable import scored_programs
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.program import Evaluation, Outcome, Program

GIVEN = [Start("mine.py", {"initial.py": SOURCE}), Start("old/ab12", {"initial.py": SOURCE + "x = 1\n", "more.py": "y = 2\n"})]


@pytest.fixture
def archive(where):
    with Archive.open(where, create=True) as opened:
        yield opened


def test_starting_points_are_read_back_in_their_order(archive):
    run = archive.create_run(new_run(), GIVEN)
    other = archive.create_run(new_run(), GIVEN[::-1])  # the same texts once more
    assert archive.starts(run) == GIVEN
    assert archive.starts(other) == GIVEN[::-1]
    assert archive.starts(archive.create_run(new_run())) == []


def test_what_was_scored_before_the_first_addition_is_found_by_its_source(archive):
    run = archive.create_run(new_run(), GIVEN)
    assert archive.scored_starts(run) == {}
    crashed = Evaluation(Outcome.CRASHED, evaluator_sha256=EVALUATOR)
    second = Program.make(-1, GIVEN[1].files)
    with archive.writer(run) as writer:
        writer.program(second, "second")
        writer.evaluation(-1, second.program_id, crashed)
        writer.commit()
        assert archive.scored_starts(run) == {second.source_sha256: (-1, crashed)}
        assert [item["outcome"] for item in summary(archive, run)["starts"]] == [None, "crashed"]
        writer.program(INITIAL, "first")
        writer.evaluation(0, INITIAL.program_id, ok(2.0))
        writer.addition(Addition(-1, -1, Outcome.CRASHED, second.program_id))
        writer.addition(Addition(0, 0, Outcome.OK, INITIAL.program_id, 0.0, True))
        writer.commit()
    assert archive.scored_starts(run) == {}
    assert [item["step"] for item in summary(archive, run)["starts"]] == [0, -1]
    assert [row["step"] for row in steps(archive, run)] == [-1, 0]
    assert summary(archive, run)["steps"]["done"] == 0


def test_rescorings_of_a_run_are_found_in_order(archive):
    run = archive.create_run(new_run())
    others = [archive.create_run(new_run(rescores=run), GIVEN) for _ in range(2)]
    assert archive.rescorings(run) == others
    assert archive.rescorings(others[0]) == []


def test_copies_and_failures_are_not_scored_again(archive):
    run, writer = started(archive)
    with writer:
        best = write_step(writer, 1, ok(5.0))
        write_step(writer, 2, Evaluation(Outcome.CRASHED))
        write_step(writer, 3, ok(5.0, reused_from=best.program_id))
    assert [(item.step, item.objective) for item in scored_programs(archive, run)] == [(0, 1.0), (1, 5.0)]
    assert archive.sources(run, [1, 7]) == {1: child_of(INITIAL, 1).files}
