"""Lists the distinct programs of a run that have a score."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from evolve.archive.store import Archive
from evolve.archive.tables import additions, evaluations, programs


class Scored(NamedTuple):
    """A scored program: its identifier, the step that made it, and its objective."""

    program_id: str
    step: int
    objective: float


def scored_programs(archive: Archive, run: int) -> list[Scored]:
    """Lists a run's scored programs in step order, of those that are alike but for comments and layout the first alone."""
    query = (
        select(*programs.c["program_id", "step", "fingerprint"], evaluations.c.objective)
        .join(evaluations, (evaluations.c.run == programs.c.run) & (evaluations.c.step == programs.c.step))
        .join(additions, (additions.c.run == programs.c.run) & (additions.c.step == programs.c.step))
        .where(programs.c.run == run, evaluations.c.objective.is_not(None), evaluations.c.reused_from.is_(None))
        .order_by(programs.c.step.desc())
    )
    with archive.read() as connection:
        # From the last to the first: the first of its kind stays.
        first = {row.fingerprint: Scored(row.program_id, row.step, row.objective) for row in connection.execute(query)}
    return sorted(first.values(), key=lambda program: program.step)
