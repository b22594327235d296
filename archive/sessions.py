"""Sessions: each time a run is driven, by whom, and how it is doing; the latest one's row is the run's writer lock."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, select, update

from evolve.archive.locks import SILENCE_S, Holder, alive
from evolve.archive.records import Session
from evolve.archive.tables import runs, sessions
from evolve.errors import ArchiveError


def latest_session(connection: Connection, run: int, now: float) -> Session | None:
    """Reads how a run is doing; None when it was never driven.

    A session whose process died without a word counts as stopped.
    """
    row = _latest(connection, run)
    if row is None:
        return None
    writing = row.writing and alive(_holder(row), now - row.heartbeat_at)
    status = "stopped" if row.status == "running" and not writing else row.status
    return Session(status, row.asked_steps, row.reason, row.seconds, row.began_at, writing, row.budget_usd)


def begin_session(connection: Connection, run: int, holder: Holder, now: float) -> int:
    """Takes a run's writer lock and returns the new session's number.

    Args:
        connection: In a transaction for recording the run.
        run: Which run.
        holder: Who takes it.
        now: Seconds since 1970.

    Raises:
        ArchiveError: If a living process holds it.
    """
    last = _latest(connection, run)
    if last is not None and last.writing:
        if alive(_holder(last), now - last.heartbeat_at):
            raise ArchiveError(_held(connection, last, holder, now))
        connection.execute(update(sessions).where(_key(run, last.session)).values(writing=False))
    number = 1 if last is None else last.session + 1
    row = {
        "run": run,
        "session": number,
        "host": holder.host,
        "place": holder.place,
        "pid": holder.pid,
        "process": holder.process,
        "began_at": now,
        "heartbeat_at": now,
        "writing": True,
        "status": "running",
        "asked_steps": _configured_steps(connection, run) if last is None else last.asked_steps,
        "reason": "",
        "seconds": 0.0 if last is None else last.seconds,
        "budget_usd": None if last is None else last.budget_usd,
    }
    connection.execute(insert(sessions), [row])
    return number


def change_session(connection: Connection, run: int, session: int, **values: object) -> None:
    """Changes what a session says of itself.

    Args:
        connection: In a transaction.
        run: Which run.
        session: Which session of it.
        values: New values by column.
    """
    connection.execute(update(sessions).where(_key(run, session)).values(values))


def _key(run: int, session: int) -> ColumnElement[bool]:
    return and_(sessions.c.run == run, sessions.c.session == session)


def _latest(connection: Connection, run: int) -> Row[tuple[object, ...]] | None:
    query = select(sessions).where(sessions.c.run == run).order_by(sessions.c.session.desc()).limit(1)
    return connection.execute(query).one_or_none()


def _holder(row: Row[tuple[object, ...]]) -> Holder:
    return Holder(row.host, row.place, row.pid, row.process)


def _configured_steps(connection: Connection, run: int) -> int:
    config = connection.execute(select(runs.c.config).where(runs.c.number == run)).scalar_one()
    steps = json.loads(config).get("steps")
    return steps if isinstance(steps, int) else 0


def _held(connection: Connection, row: Row[tuple[object, ...]], asking: Holder, now: float) -> str:
    """Says who holds a lock, since when, and what to do."""
    name = connection.execute(select(runs.c.name).where(runs.c.number == row.run)).scalar_one()
    since = datetime.fromtimestamp(row.began_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    text = f"run {name} is being written by process {row.pid} on {row.host} since {since}"
    if (row.pid, row.process, row.place) == (asking.pid, asking.process, asking.place):
        return f"{text}, which is this very process; close its other writer first"
    if (row.host, row.place) == (asking.host, asking.place):
        return f"{text}; wait for it, or stop it with `kill {row.pid}` and then `evolve resume {name}`"
    silent_s = now - row.heartbeat_at
    return (
        f"{text}, last heard of {silent_s:.0f} s ago; stop it there, "
        f"or, if that machine is gone, try again after {SILENCE_S:.0f} s of silence"
    )
