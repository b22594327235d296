import pytest
from archive_kit import INITIAL, begin, new_run, ok, write_step

from evolve.archive.store import Archive
from evolve.archive.trajectory import progress
from evolve.program import Evaluation, Outcome


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_steps_come_in_the_order_in_which_they_ended_with_what_had_been_spent(where):
    clock = Clock()
    with Archive.open(where, create=True, clock=clock) as archive:
        run = archive.create_run(new_run())
        with archive.writer(run) as writer:
            clock.now += 1
            begin(writer)
            clock.now += 2
            write_step(writer, 2, ok(3.0), cost_usd=0.5, version=1)
            clock.now += 3
            write_step(writer, 1, Evaluation(Outcome.INVALID), cost_usd=0.25, version=2)
        points = progress(archive, run)
    assert [(point.steps, point.objective, point.usd, point.seconds) for point in points] == [
        (0, 1.0, 0.0, 1.0),
        (1, 3.0, 0.5, 3.0),
        (2, None, 0.75, 6.0),
    ]
    assert points[0].program == INITIAL.program_id


def test_time_between_sessions_does_not_count_and_time_never_runs_backwards(where):
    clock = Clock()
    with Archive.open(where, create=True, clock=clock) as archive:
        run = archive.create_run(new_run())
        with archive.writer(run) as writer:
            clock.now += 4
            begin(writer)
            writer.status("stopped", asked_steps=10, reason="interrupted", seconds=5.0)
        clock.now += 3600
        with archive.writer(run) as writer:
            clock.now += 2
            write_step(writer, 1, ok(2.0))
            clock.now -= 1
            write_step(writer, 2, ok(2.0))
        points = progress(archive, run)
    assert [point.seconds for point in points] == pytest.approx([4.0, 7.0, 7.0])
