"""Keeps what a run was told to start from: the sources by hash, and what named them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from evolve.archive.loading import load_evaluations
from evolve.archive.records import Start
from evolve.archive.rows import storable
from evolve.archive.shared import in_turn, insert_shared
from evolve.archive.tables import additions, programs, start_sources, starts, texts
from evolve.archive.texts import TextReader, pack
from evolve.program import Evaluation

# Databases limit the parameters of one statement (SQLite before 3.32: 999).
_STEPS_AT_ONCE = 500


class ScoredStart(NamedTuple):
    """A starting program that was scored before the run began: its step, and what it scored."""

    step: int
    evaluation: Evaluation


def write_starts(connection: Connection, run: int, given: Sequence[Start]) -> None:
    """Writes down a run's starting points, in their order; the caller's transaction makes it all or nothing."""
    if not given:
        return
    packed = [(number, path, pack(text)) for number, start in enumerate(given) for path, text in sorted(start.files.items())]
    stored = in_turn(texts, [text._asdict() for _, _, text in packed], connection.dialect)
    connection.exec_driver_sql(insert_shared(texts, connection.dialect), stored)
    rows = [
        storable({"run": run, "number": number, "origin": start.origin, "source_sha256": bytes.fromhex(start.source_sha256)})
        for number, start in enumerate(given)
    ]
    connection.execute(insert(starts), rows)
    sources = [{"run": run, "number": number, "path": path, "text": text.hash} for number, path, text in packed]
    connection.execute(insert(start_sources), sources)


def load_starts(connection: Connection, reader: TextReader, run: int) -> list[Start]:
    """Reads a run's starting points, in their order; none for a run that starts from its task's initial program."""
    rows = connection.execute(select(starts).where(starts.c.run == run).order_by(starts.c.number)).all()
    files = connection.execute(select(start_sources).where(start_sources.c.run == run).order_by(*start_sources.primary_key)).all()
    read = reader.read(connection, (row.text for row in files))
    by_number: dict[int, dict[str, str]] = {row.number: {} for row in rows}
    for row in files:
        by_number[row.number][row.path] = read[row.text]
    return [Start(row.origin, by_number[row.number]) for row in rows]


def load_scored_starts(connection: Connection, reader: TextReader, run: int) -> Mapping[str, ScoredStart]:
    """Reads what was scored of a run that has not begun, by the hash of the source."""
    query = (
        select(programs.c.step, programs.c.source_sha256)
        .outerjoin(additions, (additions.c.run == programs.c.run) & (additions.c.step == programs.c.step))
        .where(programs.c.run == run, programs.c.step <= 0, additions.c.step.is_(None))
    )
    steps = {row.step: row.source_sha256.hex() for row in connection.execute(query)}
    found: dict[str, ScoredStart] = {}
    numbers = sorted(steps)
    for first in range(0, len(numbers), _STEPS_AT_ONCE):
        chunk = load_evaluations(connection, reader, run, numbers[first : first + _STEPS_AT_ONCE])
        found.update({steps[step]: ScoredStart(step, evaluation) for step, evaluation in chunk.items()})
    return found
