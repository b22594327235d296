"""Brings the tables of an archive up to date.

A migration is a function that changes tables. They are numbered by their place in `MIGRATIONS`, only ever appended, and
only ever add (a table, a column with a default), so that a process of an older version that is still writing can go on.
An archive remembers which it has had. A new archive gets today's tables at once and counts every migration as had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Column, Connection, Double, Integer, MetaData, Table, Text, func, insert, inspect, select, text

from evolve.archive import tables
from evolve.archive.columns import metadata
from evolve.errors import ArchiveError

Migration = Callable[[Connection], None]

# Apart from the other tables: it must be readable whatever version wrote them.
_applied = Table(
    "evolve_migrations",
    MetaData(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("applied_at", Double, nullable=False),
)


def m001_initial(connection: Connection) -> None:
    """Makes the tables of a new archive."""
    metadata.create_all(connection)


def m002_stages_and_holdouts(connection: Connection) -> None:
    """Adds what staged, repeated and verified evaluations have to say, and the scores of finished results."""
    connection.execute(text("ALTER TABLE evaluations ADD COLUMN details TEXT"))
    tables.holdouts.create(connection)


def m003_models(connection: Connection) -> None:
    """Adds what runs with language models have to say: every call, what plans reckoned with, and people's advice."""
    for table, column in (
        ("plans", "failures TEXT"),
        ("plans", "unavailable TEXT"),
        ("plans", "usd_per_step DOUBLE PRECISION"),
        ("replies", "finish TEXT"),
        ("sessions", "budget_usd DOUBLE PRECISION"),
        ("replies", "request BLOB" if connection.dialect.name == "sqlite" else "request BYTEA"),
    ):
        connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column}"))
    tables.replies_by_request.create(connection)
    for made in (tables.calls, tables.call_ends, tables.advice):
        made.create(connection)


def m004_search(connection: Connection) -> None:
    """Adds traits of programs, plans for a new approach, starting points, runs that score others again, and notes."""
    connection.execute(text("ALTER TABLE additions ADD COLUMN traits TEXT"))
    connection.execute(text("ALTER TABLE plans ADD COLUMN new_approach BOOLEAN"))
    connection.execute(text("ALTER TABLE runs ADD COLUMN rescores INTEGER"))
    for made in (tables.starts, tables.start_sources, tables.notes):
        made.create(connection)


def m005_afresh(connection: Connection) -> None:
    """Adds what the best programs of finished runs came to when they were measured afresh."""
    tables.afresh.create(connection)


def m006_embedders(connection: Connection) -> None:
    """Adds what runs whose programs a model embeds have to say: vectors, calls, failures, and limits found by it."""
    for made in (
        tables.vectors,
        tables.embedding_calls,
        tables.embedding_call_ends,
        tables.unembedded,
        tables.calibrations,
    ):
        made.create(connection)


def m007_judge(connection: Connection) -> None:
    """Adds what runs whose borderline children a model judges have to say: calls and judgements."""
    for made in (tables.judge_calls, tables.judge_call_ends, tables.judgements):
        made.create(connection)


def m008_hosts(connection: Connection) -> None:
    """Adds where each evaluation ran, for runs on a cluster."""
    connection.execute(text("ALTER TABLE evaluations ADD COLUMN host TEXT"))


MIGRATIONS: tuple[Migration, ...] = (
    m001_initial,
    m002_stages_and_holdouts,
    m003_models,
    m004_search,
    m005_afresh,
    m006_embedders,
    m007_judge,
    m008_hosts,
)


def schema_version(connection: Connection, name: str) -> int:
    """Reads how many migrations an archive has had; 0 for an empty database.

    Args:
        connection: To the archive.
        name: How messages call it.

    Raises:
        ArchiveError: If the database holds something else.
    """
    found = inspect(connection).get_table_names()
    if not found:
        return 0
    if _applied.name not in found:
        raise ArchiveError(
            f"archive {name} is a database of something else (tables {', '.join(sorted(found)[:5])}); name another one"
        )
    return int(connection.execute(select(func.max(_applied.c.number))).scalar() or 0)


def refuse_newer(version: int, name: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Refuses an archive that a newer version of this package wrote.

    Raises:
        ArchiveError: If it has had migrations that are unknown here.
    """
    if version > len(migrations):
        raise ArchiveError(
            f"archive {name} has schema version {version}, and this version of evolve knows versions up to {len(migrations)}; "
            "update evolve (pip install --upgrade evolve-platform), or name another archive"
        )


def bring_up_to_date(connection: Connection, name: str, now: float, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Applies the migrations that an archive lacks; the caller's transaction makes it all or nothing.

    Args:
        connection: In a transaction for altering tables.
        name: How messages call the archive.
        now: Seconds since 1970.
        migrations: All there are, in order.

    Raises:
        ArchiveError: If the archive is newer, or holds something else.
    """
    version = schema_version(connection, name)
    refuse_newer(version, name, migrations)
    if version == 0:
        _applied.create(connection, checkfirst=True)
        m001_initial(connection)
    else:
        for migration in migrations[version:]:
            migration(connection)
    rows = [{"number": k + 1, "name": migrations[k].__name__, "applied_at": now} for k in range(version, len(migrations))]
    if rows:
        connection.execute(insert(_applied), rows)
