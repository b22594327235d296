"""What the command line and the browser show of an archive: values ready for JSON, always in the same order.

Everything here reads what is recorded. Only finished steps count, except where money and evaluations are summed: those
of a step that a kill interrupted were spent all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select

from evolve.archive.loading import NANO_DIGITS, dollars, of_attempts, rows_of_steps, spending, spent_usd
from evolve.archive.records import RunRecord
from evolve.archive.rows import Found, details_of, metrics_of
from evolve.archive.store import Archive
from evolve.archive.tables import (
    additions,
    afresh,
    edit_failures,
    evaluations,
    holdouts,
    notes,
    plans,
    programs,
    replies,
    screens,
    starts,
)
from evolve.errors import RunNotFound
from evolve.intervals import interval_of
from evolve.program import Direction, Evaluation, Isolation, Outcome, Stage

Json = dict[str, Any]  # Any: JSON values
# Steps read at once: enough to make the queries' cost small, few enough to keep memory flat.
_CHUNK = 500


class CurvePoint(NamedTuple):
    """The best objective of a run after a step; None while nothing has scored."""

    step: int
    best: float | None


def summaries(archive: Archive) -> list[Json]:
    """Summarises every run of an archive, in the order of their numbers."""
    return [summary(archive, run) for run in archive.run_numbers()]


def summary(archive: Archive, run: int) -> Json:
    """Summarises a run, as `evolve show --json` prints it.

    ``steps.done``, ``outcomes`` and ``evaluated`` leave out starting programs, which ``starts`` lists in the order given;
    ``evaluated`` leaves out evaluations that were copied from a known program; ``tokens`` are those asked and answered together;
    ``isolation`` is the weakest level that anything ran at; ``shared_process`` tells whether programs could forge their scores;
    ``rescores`` is the number of the run whose programs this one scores again. ``initial`` and ``best`` are None until something
    scored; in them ``interval`` is None where the objective was measured once (``interval.afresh``: by measurements made when the
    run was finished, which the program was not chosen by), and ``holdout`` until the run is finished, and for a task without
    held-out data.

    Raises:
        RunNotFound: If there is no such run.
    """
    record, session = archive.run_record(run), archive.session(run)
    steps = record.config.get("steps")
    asked = session.asked_steps if session else (steps if isinstance(steps, int) else 0)
    with archive.read() as connection:
        outcomes = _outcomes(connection, run)
        replied, tokens = connection.execute(
            select(func.count(), func.coalesce(func.sum(replies.c.tokens_in + replies.c.tokens_out), 0)).where(replies.c.run == run)
        ).one()
        noted, more = connection.execute(
            select(func.count(notes.c.reply), func.coalesce(func.sum(notes.c.tokens_in + notes.c.tokens_out), 0)).where(
                notes.c.run == run
            )
        ).one()
        return {
            "run": run,
            "name": record.name,
            "task": record.task,
            "status": session.status if session else "stopped",
            "seed": record.seed,
            "steps": {"asked": asked, "done": sum(outcomes.values())},
            "evaluated": _evaluated(connection, run),
            "outcomes": outcomes,
            "rescores": record.rescores,
            "starts": _starts(connection, run),
            "initial": _scored(connection, run, 0),
            "best": _best(connection, record),
            "calls": replied + noted,
            "usd": spent_usd(connection, run),
            "tokens": tokens + more,
            "seconds": session.seconds if session else 0.0,
            "arms": _arms(connection, run),
            "isolation": _isolation(connection, run),
            "shared_process": _shared_process(connection, run),
            "verification": _verification(connection, run),
        }


def _starts(connection: Connection, run: int) -> list[Json]:
    """Describes a run's starting programs in the order given; ``step`` and ``program`` are None until they are scored."""
    given = connection.execute(select(starts).where(starts.c.run == run).order_by(starts.c.number)).all()
    query = (
        select(*programs.c["step", "program_id", "source_sha256"], *evaluations.c["outcome", "objective"])
        .join(evaluations, (evaluations.c.run == programs.c.run) & (evaluations.c.step == programs.c.step))
        .where(programs.c.run == run, programs.c.step <= 0)
    )
    scored = {row.source_sha256: row for row in connection.execute(query)}
    origins = [(row.origin, row.source_sha256) for row in given] or [("initial", key) for key in scored]
    keys = {"step": "step", "program": "program_id", "outcome": "outcome", "objective": "objective"}
    return [
        {"origin": origin, **{key: getattr(scored[source], column) if source in scored else None for key, column in keys.items()}}
        for origin, source in origins
    ]


def _shared_process(connection: Connection, run: int) -> bool:
    """Whether the run's first evaluation, and so every one of its task's, ran in one process with what scored it."""
    query = select(evaluations.c.details).where(evaluations.c.run == run).order_by(evaluations.c.step).limit(1)
    return bool(details_of(connection.execute(query).scalar_one_or_none()).get("shared_process"))


def _verification(connection: Connection, run: int) -> Json:
    """Counts the programs that were evaluated a second time before they counted, and those whose second score was another."""
    query = select(evaluations.c.details).where(
        evaluations.c.run == run, evaluations.c.reused_from.is_(None), evaluations.c.details.like('%"verified"%')
    )
    verified = [details_of(details)["verified"] for details in connection.execute(query).scalars()]
    return {"checked": len(verified), "disagreed": verified.count(False)}


def _holdout(connection: Connection, run: int, step: int) -> Json | None:
    """Describes what the program of a step scored on held-out data; None where it was not scored on any."""
    query = select(*holdouts.c["outcome", "objective", "metrics"]).where(holdouts.c.run == run, holdouts.c.step == step)
    row = connection.execute(query).one_or_none()
    return None if row is None else {"outcome": row.outcome, "objective": row.objective, "metrics": _values(row.metrics)}


def _outcomes(connection: Connection, run: int) -> dict[str, int]:
    query = (
        select(additions.c.outcome, func.count().label("steps"))
        .where(additions.c.run == run, additions.c.step > 0)
        .group_by(additions.c.outcome)
        .order_by(additions.c.outcome)
    )
    return {row.outcome: row.steps for row in connection.execute(query)}


def _evaluated(connection: Connection, run: int) -> int:
    query = select(func.count()).where(evaluations.c.run == run, evaluations.c.step > 0, evaluations.c.reused_from.is_(None))
    return connection.execute(query).scalar_one()


def _best(connection: Connection, record: RunRecord) -> Json | None:
    """Describes the best program; among equals that of the earliest step, and never a copy."""
    better_first = evaluations.c.objective.desc() if record.direction == Direction.MAXIMIZE else evaluations.c.objective.asc()
    query = (
        select(evaluations.c.step)
        .join(additions, (additions.c.run == evaluations.c.run) & (additions.c.step == evaluations.c.step))
        .where(
            evaluations.c.run == record.number,
            evaluations.c.objective.is_not(None),
            evaluations.c.reused_from.is_(None),
        )
        .order_by(better_first, evaluations.c.step)
        .limit(1)
    )
    step = connection.execute(query).scalar_one_or_none()
    return None if step is None else _scored(connection, record.number, step)


def _scored(connection: Connection, run: int, step: int) -> Json | None:
    """Describes the scored program of a step; None where there is none."""
    query = (
        select(*programs.c["program_id", "generation"], *evaluations.c["outcome", "objective", "metrics", "details"])
        .join(evaluations, (evaluations.c.run == programs.c.run) & (evaluations.c.step == programs.c.step))
        .where(programs.c.run == run, programs.c.step == step)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return {
        "program": row.program_id,
        "objective": row.objective,
        "interval": _interval(connection, run, step, row),
        "metrics": _values(row.metrics),
        "generation": row.generation,
        "step": step,
        "holdout": _holdout(connection, run, step),
    }


def _interval(connection: Connection, run: int, step: int, scored: Found) -> Json | None:
    """Says where a program's mean lies that was measured several times; None of one that was measured once.

    What was measured afresh is all that counts where there is some: the rest is what the program was chosen by.
    """
    query = select(*afresh.c["outcome", "objective", "details"]).where(afresh.c.run == run, afresh.c.step == step)
    again = connection.execute(query).one_or_none()
    row = scored if again is None else again
    evaluation = Evaluation(Outcome(row.outcome), row.objective, **details_of(row.details))
    interval = interval_of(evaluation)
    if interval is None:
        return None
    return {
        "mean": interval.value,
        "low": interval.low,
        "high": interval.high,
        "values": len(evaluation.values),
        "afresh": again is not None,
    }


def _values(metrics: str | None) -> dict[str, float]:
    return {name: metric.value for name, metric in sorted(metrics_of(metrics).items())}


def _arms(connection: Connection, run: int) -> dict[str, Json]:
    """Says what each arm was pulled for, cost and brought; ``reward`` is the mean over finished pulls."""
    finished = (
        select(
            plans.c.arm,
            func.count(additions.c.step).label("pulls"),
            func.count().filter(additions.c.improved).label("improvements"),
            func.avg(additions.c.reward).label("reward"),
        )
        .outerjoin(additions, (additions.c.run == plans.c.run) & (additions.c.step == plans.c.step))
        .where(plans.c.run == run)
        .group_by(plans.c.arm)
        .order_by(plans.c.arm)
    )
    paid = spending(run)
    spent = (
        select(plans.c.arm, dollars(paid).label("usd"))
        .join(paid, paid.c.step == plans.c.step)
        .where(plans.c.run == run, of_attempts(paid))
        .group_by(plans.c.arm)
    )
    usd = {row.arm: row.usd for row in connection.execute(spent)}
    return {
        row.arm: {"pulls": row.pulls, "usd": usd.get(row.arm, 0.0), "improvements": row.improvements, "reward": row.reward}
        for row in connection.execute(finished)
    }


def _isolation(connection: Connection, run: int) -> str | None:
    query = select(evaluations.c.isolation).where(evaluations.c.run == run, evaluations.c.isolation.is_not(None)).distinct()
    levels = [Isolation(level) for level in connection.execute(query).scalars()]
    return min(levels, key=lambda level: level.rank).value if levels else None


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
        "metrics": _values(row.metrics),
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
    """Lists what one step was told and what came of it, attempt by attempt: replies, edit failures and screens."""
    with archive.read() as connection:
        answers = rows_of_steps(connection, replies, run, [step])
        failures = rows_of_steps(connection, edit_failures, run, [step])
        screened = rows_of_steps(connection, screens, run, [step])
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
