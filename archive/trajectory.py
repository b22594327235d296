"""How a run came along: what each finished step scored, and what steps, dollars and seconds had been spent by then."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from sqlalchemy import Connection, func, select, union_all

from evolve.archive.billing import billed
from evolve.archive.loading import spending
from evolve.archive.store import Archive
from evolve.archive.tables import (
    additions,
    embedding_call_ends,
    embedding_calls,
    evaluations,
    judge_call_ends,
    judge_calls,
    sessions,
)


class ProgressPoint(NamedTuple):
    """The end of a step.

    Attributes:
        steps: Steps that had ended by then, this one included; 0 for the initial program.
        program: Identifier of its program; None when it made none.
        objective: What that scored; None when it did not.
        usd: Dollars that the ended steps had cost.
        seconds: Wall-clock seconds that the run had been driven, in all sessions.
    """

    steps: int
    program: str | None
    objective: float | None
    usd: float
    seconds: float


class _SessionTime(NamedTuple):
    """When a session began, in seconds since 1970, and how long the run had been driven before."""

    began_at: float
    before_s: float


def progress(archive: Archive, run: int) -> list[ProgressPoint]:
    """Lists the finished steps of a run in the order in which they ended, the initial program's first."""
    query = (
        select(*additions.c["step", "version", "program", "added_at"], evaluations.c.objective)
        .outerjoin(evaluations, (evaluations.c.run == additions.c.run) & (evaluations.c.step == additions.c.step))
        .where(additions.c.run == run)
        .order_by(additions.c.version)
    )
    embedded, judged = billed(embedding_calls, embedding_call_ends, run), billed(judge_calls, judge_call_ends, run)
    paid = union_all(select(spending(run)), embedded, judged).subquery("paid")
    with archive.read() as connection:
        driven = _session_times(connection, run)
        costs = connection.execute(select(paid.c.step, func.sum(paid.c.usd).label("usd")).group_by(paid.c.step))
        usd = {row.step: row.usd for row in costs}
        rows = connection.execute(query).all()
    points: list[ProgressPoint] = []
    spent = seconds = 0.0
    for row in rows:
        spent += usd.get(row.step, 0.0)
        # The clock of the day may be set back; time that a run was driven is not.
        seconds = max(seconds, _driven_s(driven, row.added_at))
        points.append(ProgressPoint(row.version, row.program, row.objective, spent, seconds))
    return points


def _session_times(connection: Connection, run: int) -> list[_SessionTime]:
    query = select(sessions.c.began_at, sessions.c.seconds).where(sessions.c.run == run).order_by(sessions.c.session)
    times: list[_SessionTime] = []
    before_s = 0.0
    for row in connection.execute(query):
        times.append(_SessionTime(row.began_at, before_s))
        before_s = row.seconds
    return times


def _driven_s(driven: list[_SessionTime], at: float) -> float:
    """Says how long a run had been driven at a time of the day."""
    place = bisect_right([session.began_at for session in driven], at) - 1
    return 0.0 if place < 0 else driven[place].before_s + at - driven[place].began_at
