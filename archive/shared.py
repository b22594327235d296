"""Rows that several runs write alike: texts by hash, vectors by key. What is there already is the same, and stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Table, insert

from evolve.archive.tables import texts, vectors

_Row = Mapping[str, Any]  # Any: what databases hold

#: Their tables.
SHARED = (texts, vectors)


def insert_shared(table: Table, dialect: Dialect) -> str:
    """Writes the statement that inserts rows which may be there already, with named parameters for the driver."""
    # Both SQLite and PostgreSQL read this.
    return f"{insert(table).compile(dialect=dialect)} ON CONFLICT DO NOTHING"


def in_turn(table: Table, rows: Sequence[_Row], dialect: Dialect) -> list[_Row]:
    """Puts rows in the order in which they are to be inserted.

    Where several transactions write at once, each waits for the other's row with the same key: all of them insert in the order of
    the keys, so that no two wait for each other. SQLite has one writer, and wants a text's dictionary before the text.
    """
    if dialect.name == "sqlite":
        return list(rows)
    (key,) = table.primary_key.columns
    return sorted(rows, key=lambda row: bytes(row[key.name]))
