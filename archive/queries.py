"""What the command line shows of a run's steps and programs: values ready for JSON, always in the same order.

Everything here reads what is recorded, and only finished steps count (what a run came to as a whole: `evolve.archive.summaries`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, select

from evolve.archive.details import details_of
from evolve.archive.loading import NANO_DIGITS, of_attempts, rows_of_steps, spending
from evolve.archive.rows import Found, Json, metric_values
from evolve.archive.store import Archive
from evolve.archive.tables import additions, edit_failures, evaluations, judgements, plans, programs, replies, screens
from evolve.errors import RunNotFound
from evolve.program import Direction, Stage

# Steps read at once: enough to make the queries' cost small, few enough to keep memory flat.
_CHUNK = 500


class CurvePoint(NamedTuple):
    """The best objective of a run after a step; None while nothing has scored."""

    step: int
    best: float | None


def steps(archive: Archive, run: int) -> Iterator[Json]:
    """Yields the finished steps of a run in step order, as `evolve export` prints them.

    The initial program's is 0; further starting programs come before it, with numbers below.

    Keys that end in ``_s`` or ``_at`` are times; all else depends on the run's configuration, seed and replies alone.
    ``version`` is the archive's version that the step's addition made, ``planned_version`` the one that its plan saw.
    ``verdict``, ``similarity`` and ``edit`` (the mutator's note on it) are of the last attempt.
    """
    first: int | None = None
    while True:
        with archive.read() as connection:
            query = _steps_query(run).limit(_CHUNK)
            if first is not None:
                query = query.where(additions.c.step >= first)
            found = connection.execute(query).all()
            if not found:
                return
            numbers = [row.step for row in found]
            asked = _attempts_by_step(connection, archive, run, numbers)
        for row in found:
            yield {**_step_values(row), **asked[row.step]}
        first = numbers[-1] + 1


def _steps_query(run: int) -> Select[Any]:
    query = select(
        *additions.c["step", "version", "outcome", "program", "reward", "improved", "added_at"],
        *plans.c["parent", "inspirations", "island", "arm", "planned_at"],
        plans.c.version.label("planned_version"),
        *programs.c["generation", "source_sha256"],
        *evaluations.c["objective", "metrics", "isolation", "timing_dependent", "reused_from", "cpu_s", "wall_s", "details"],
    ).select_from(additions)
    for table in (plans, programs, evaluations):
        query = query.outerjoin(table, (table.c.run == additions.c.run) & (table.c.step == additions.c.step))
    return query.where(additions.c.run == run).order_by(additions.c.step)


def _step_values(row: Found) -> Json:
    details = details_of(row.details)
    return {
        "step": row.step,
        "outcome": row.outcome,
        "program": row.program,
        "parent": row.parent,
        "inspirations": row.inspirations.split() if row.inspirations else [],
        "island": row.island,
        "arm": row.arm,
        "objective": row.objective,
        "metrics": metric_values(row.metrics),
        "source_sha256": row.source_sha256.hex() if row.source_sha256 else None,
        "version": row.version,
        "planned_version": row.planned_version,
        "reward": row.reward,
        "improved": row.improved,
        "reused_from": row.reused_from,
        "generation": row.generation,
        "isolation": row.isolation,
        "timing_dependent": bool(row.timing_dependent),
        "stage": None if row.timing_dependent is None else details.get("stage", Stage.EVALUATE).value,
        "instances": details.get("instances", {}),
        "values": list(details.get("values", ())),
        "standard_error": details.get("standard_error"),
        "verified": details.get("verified"),
        "shared_process": details.get("shared_process", False),
        "cpu_s": row.cpu_s,
        "wall_s": row.wall_s,
        "planned_at": row.planned_at,
        "added_at": row.added_at,
    }


def _attempts_by_step(connection: Connection, archive: Archive, run: int, numbers: list[int]) -> dict[int, Json]:
    """Says of each step how often it was tried, what that cost, and how the last attempt went."""
    asked: dict[int, Json] = {
        step: {"edit": None, "usd": 0.0, "attempts": 0, "verdict": None, "latency_s": 0.0} for step in numbers
    }
    paid = spending(run)
    for step, usd in connection.execute(select(paid.c.step, paid.c.usd).where(paid.c.step.in_(numbers), of_attempts(paid))):
        asked[step]["usd"] = round(asked[step]["usd"] + usd, NANO_DIGITS)
    answers = rows_of_steps(connection, replies, run, numbers)
    read = archive.texts.read(connection, {row.step: row.text for row in answers}.values())
    for row in answers:
        of_step = asked[row.step]
        of_step["latency_s"] += row.latency_s
        if row.text in read:
            of_step["edit"] = note(read[row.text])
        of_step["attempts"] = row.attempt + 1
    for row in rows_of_steps(connection, edit_failures, run, numbers):
        asked[row.step]["attempts"] = max(asked[row.step]["attempts"], row.attempt + 1)
    for row in rows_of_steps(connection, screens, run, numbers):
        asked[row.step]["verdict"] = row.verdict
    return asked


def note(reply: str) -> str | None:
    """Returns what a mutator says of its edit: the ``note`` of a reply that is a JSON object."""
    if not reply.startswith("{"):
        return None
    try:
        said = json.loads(reply)
    except ValueError:
        return None
    text = said.get("note")
    return text if isinstance(text, str) else None


def attempts(archive: Archive, run: int, step: int) -> list[Json]:
    """Lists what one step was told and what came of it, attempt by attempt: replies, edit failures, screens and judgements."""
    with archive.read() as connection:
        answers = rows_of_steps(connection, replies, run, [step])
        failures = rows_of_steps(connection, edit_failures, run, [step])
        screened = rows_of_steps(connection, screens, run, [step])
        judged = rows_of_steps(connection, judgements, run, [step])
        hashes = [row.text for row in answers] + [row.prompt for row in answers] + [row.why for row in failures]
        read = archive.texts.read(connection, hashes)
    listed: dict[int, Json] = {row.attempt: {} for row in (*answers, *failures, *screened)}
    for row in answers:
        listed[row.attempt] = {
            "prompt": read[row.prompt],
            "reply": read[row.text],
            "edit": note(read[row.text]),
            "parents": row.parents.split(),
            "tokens_in": row.tokens_in,
            "tokens_out": row.tokens_out,
            "usd": row.cost_usd,
            "latency_s": row.latency_s,
            "replied_at": row.replied_at,
        }
    for row in failures:
        listed[row.attempt]["edit_failure"] = read[row.why]
    for row in screened:
        seen = {"verdict": row.verdict, "nearest": row.nearest, "similarity": row.similarity, "screened_version": row.version}
        listed[row.attempt].update(seen)
    for row in judged:
        listed[row.attempt]["judge"] = {"found": row.found, "why": row.why, "source": row.source, "error": row.error}
    return [{"attempt": attempt, **listed[attempt]} for attempt in sorted(listed)]


def tree(archive: Archive, run: int) -> list[Json]:
    """Lists a run's programs in step order, each with its first parent: the edges of its family tree."""
    with archive.read() as connection:
        return [_node(row) for row in connection.execute(_nodes_query(run))]


def lineage(archive: Archive, run: int, program_id: str) -> list[Json]:
    """Lists a program and its first parents, back to the initial program, as `tree` lists them.

    Raises:
        RunNotFound: If the run has no such program.
    """
    found: list[Json] = []
    with archive.read() as connection:
        wanted: str | None = program_id
        while wanted is not None:
            row = connection.execute(_nodes_query(run).where(programs.c.program_id == wanted)).one_or_none()
            if row is None:
                raise RunNotFound(f"run {run} has no program {wanted!r}; `evolve tree {run}` lists them")
            found.append(_node(row))
            wanted = row.parent
    return found


def _nodes_query(run: int) -> Select[Any]:
    query = select(
        *programs.c["program_id", "parent", "donors", "step", "generation"],
        *evaluations.c["outcome", "objective", "reused_from"],
        *plans.c["island", "arm"],
        additions.c.improved,
    ).select_from(programs)
    for table in (evaluations, plans, additions):
        query = query.outerjoin(table, (table.c.run == programs.c.run) & (table.c.step == programs.c.step))
    return query.where(programs.c.run == run).order_by(programs.c.step)


def _node(row: Found) -> Json:
    return {
        "program": row.program_id,
        "parent": row.parent,
        "donors": row.donors.split(),
        "step": row.step,
        "generation": row.generation,
        "outcome": row.outcome,
        "objective": row.objective,
        "reused_from": row.reused_from,
        "island": row.island,
        "arm": row.arm,
        "improved": bool(row.improved),
    }


def curve(archive: Archive, run: int) -> list[CurvePoint]:
    """Lists the best objective so far after each finished step, in step order."""
    direction = Direction(archive.run_record(run).direction)
    query = (
        select(additions.c.step, evaluations.c.objective)
        .outerjoin(evaluations, (evaluations.c.run == additions.c.run) & (evaluations.c.step == additions.c.step))
        .where(additions.c.run == run)
        .order_by(additions.c.step)
    )
    points: list[CurvePoint] = []
    best: float | None = None
    with archive.read() as connection:
        for step, objective in connection.execute(query):
            if objective is not None and (best is None or direction.oriented(objective) > direction.oriented(best)):
                best = objective
            points.append(CurvePoint(step, best))
    return points
