"""What calls of models came to: read from any table of calls and its table of what came of them (`archive/tables.py`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Connection, Select, Table, func, select


def billed(made: Table, ends: Table, run: int | BindParameter[int]) -> Select[Any]:
    """Selects what calls have cost a run: rows of ``step``, ``attempt`` and ``usd``, one for each call.

    A call whose end is not known counts with what was reserved.

    Args:
        made: Calls that were begun.
        ends: What came of them.
        run: Whose.
    """
    call, end = made.c, ends.c
    same = (end.run == call.run) & (end.step == call.step) & (end.attempt == call.attempt) & (end.number == call.number)
    usd = func.coalesce(end.usd, call.reserved_usd).label("usd")
    return select(call.step, call.attempt, usd).outerjoin(ends, same).where(call.run == run)


def begun(connection: Connection, made: Table, run: int) -> dict[tuple[int, int], int]:
    """Counts the calls of a run that were begun, by step and attempt.

    Args:
        connection: To the archive.
        made: Calls that were begun.
        run: Whose.
    """
    query = select(made.c.step, made.c.attempt, func.max(made.c.number).label("last")).where(made.c.run == run)
    return {(row.step, row.attempt): row.last + 1 for row in connection.execute(query.group_by(made.c.step, made.c.attempt))}
