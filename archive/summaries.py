"""What a run came to, summed up: what `evolve show` and its likes print, ready for JSON and always in the same order.

Only finished steps count, except where money and evaluations are summed: those of a step that a kill interrupted were spent all the
same.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from evolve.archive.details import details_of
from evolve.archive.embedded import embedding_figures
from evolve.archive.judged import judge_figures
from evolve.archive.loading import dollars, embedding_usd, judge_usd, of_attempts, spending, spent_usd
from evolve.archive.records import RunRecord
from evolve.archive.rows import Found, Json, metric_values
from evolve.archive.store import Archive
from evolve.archive.tables import additions, afresh, evaluations, holdouts, notes, plans, programs, replies, starts
from evolve.intervals import interval_of
from evolve.program import Direction, Evaluation, Isolation, Outcome


def summaries(archive: Archive) -> list[Json]:
    """Summarises every run of an archive, in the order of their numbers."""
    return [summary(archive, run) for run in archive.run_numbers()]


def summary(archive: Archive, run: int) -> Json:
    """Summarises a run, as `evolve show --json` prints it.

    ``steps.done``, ``outcomes`` and ``evaluated`` leave out starting programs, which ``starts`` lists in the order given;
    ``evaluated`` leaves out evaluations that were copied from a known program; ``tokens`` are those asked and answered together;
    ``isolation`` is the weakest level that anything ran at; ``shared_process`` tells whether programs could forge their scores;
    ``embeddings`` counts what a model of embeddings was asked (``calls``, ``tokens``, ``usd``, which are in the run's own too) and
    ``failed``, programs that it did not embed; ``judge`` counts likewise what a judge of borderline children was asked, and the
    children that it found ``same`` and ``different``, or ``unknown`` where there was no judgement to be had; ``rescores`` is the
    number of the run whose programs this one scores again.
    ``initial`` and ``best`` are None until something scored; in them ``interval`` is None where the objective was measured once
    (``interval.afresh``: by measurements made when the run was finished, which the program was not chosen by), and ``holdout``
    until the run is finished, and for a task without held-out data.

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
        embedded, judged = embedding_figures(connection, run), judge_figures(connection, run)
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
            "calls": replied + noted + embedded["calls"] + judged["calls"],
            "usd": spent_usd(connection, run),
            "tokens": tokens + more + embedded["tokens"] + judged["tokens"],
            "embeddings": {**embedded, "usd": embedding_usd(connection, run)},
            "judge": {**judged, "usd": judge_usd(connection, run)},
            "seconds": session.seconds if session else 0.0,
            "arms": _arms(connection, run),
            "isolation": _isolation(connection, run),
            "hosts": _hosts(connection, run),
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
    return None if row is None else {"outcome": row.outcome, "objective": row.objective, "metrics": metric_values(row.metrics)}


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
        "metrics": metric_values(row.metrics),
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


def _hosts(connection: Connection, run: int) -> list[Json]:
    """Lists the machines that a cluster chose, with the level found on each; empty for a run that evaluated where it ran."""
    query = (
        select(*evaluations.c["host", "isolation"], func.count().label("evaluated"))
        .where(evaluations.c.run == run, evaluations.c.host.is_not(None), evaluations.c.reused_from.is_(None))
        .group_by(evaluations.c.host, evaluations.c.isolation)
        .order_by(evaluations.c.host, evaluations.c.isolation)
    )
    return [{"host": row.host, "isolation": row.isolation, "evaluated": row.evaluated} for row in connection.execute(query)]
