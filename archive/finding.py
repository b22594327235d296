"""Finds runs and programs by what a user types: a number, a name, the beginning of a name or of an identifier."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from evolve.archive.rows import storable_words
from evolve.archive.tables import programs, runs
from evolve.errors import RunNotFound, nearest_hint

# So many matches show what is meant; more bury it.
_SHOWN = 8


def find_run(connection: Connection, archive: str, text: str | None) -> int:
    """Finds a run by number, by exact name, or by the unique beginning of a name; None is the latest.

    Raises:
        RunNotFound: If there is none, or the text begins several names.
    """
    query = select(runs.c.name, runs.c.number).order_by(runs.c.number)
    names: dict[str, int] = {row.name: row.number for row in connection.execute(query)}
    if not names:
        raise RunNotFound(f"archive {archive} has no run yet; `evolve run TASK` makes one")
    if text is None:
        return max(names.values())
    if text.isascii() and text.isdigit() and int(text) in names.values():
        return int(text)
    if text in names:
        return names[text]
    matches = [name for name in names if text and name.startswith(text)]
    if len(matches) == 1:
        return names[matches[0]]
    if matches:
        raise RunNotFound(f"{text!r} begins the names of {len(matches)} runs: {_some(matches)}; write more of it")
    raise RunNotFound(f"archive {archive} has no run {text!r}; {nearest_hint(text, list(names))}")


def find_program(connection: Connection, run: int | None, text: str) -> tuple[int, str]:
    """Finds a program by the unique beginning of its identifier.

    Two runs with the same seed make the same programs, with the same identifiers: then the latest run is meant.

    Args:
        connection: To the archive.
        run: Where to look; None looks in all runs.
        text: What the user typed.

    Returns:
        The run's number and the identifier.

    Raises:
        RunNotFound: If there is none, or the text begins several identifiers.
    """
    where = "the archive" if run is None else f"run {run}"
    text = storable_words(text)
    query = (
        select(programs.c.program_id, func.max(programs.c.run), func.min(programs.c.step))
        # A range rather than LIKE, so that the index serves it in every database.
        .where(programs.c.program_id >= text, programs.c.program_id < text + "\U0010ffff")
        .group_by(programs.c.program_id)
        .order_by(programs.c.program_id)
        .limit(_SHOWN + 1)
    )
    if run is not None:
        query = query.where(programs.c.run == run)
    found = connection.execute(query).all() if text else []
    if len(found) == 1:
        return found[0][1], found[0][0]
    if found:
        matches = [f"{program} (run {number}, step {step})" for program, number, step in found]
        raise RunNotFound(f"{text!r} begins several programs of {where}: {_some(matches)}; write more of it")
    raise RunNotFound(f"{where} has no program {text!r}; `evolve tree RUN` and `evolve export RUN` list them")


def _some(matches: list[str]) -> str:
    return ", ".join(matches[:_SHOWN]) + (", ..." if len(matches) > _SHOWN else "")
