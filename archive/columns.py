"""What the tables of an archive are made of: the kinds of columns that several of them have, and tables of a kind."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.schema import SchemaItem

metadata = MetaData()

# Sorted and compared by their code points, as in SQLite: servers go by the rules of some language unless told otherwise.
WORDS = Text().with_variant(Text(collation="C"), "postgresql")


def keyed(name: str, *items: SchemaItem) -> Table:
    """Declares a table that is stored in the order of its primary key, without a second index beside it."""
    return Table(name, metadata, *items, sqlite_with_rowid=False)


def run_key() -> Column[int]:
    """Declares the run that a row belongs to."""
    return Column("run", Integer, ForeignKey("runs.number"), primary_key=True, autoincrement=False)


def step_key() -> Column[int]:
    """Declares the step that a row belongs to."""
    return Column("step", Integer, primary_key=True, autoincrement=False)


def attempt_key() -> Column[int]:
    """Declares the attempt of the step."""
    return Column("attempt", SmallInteger, primary_key=True, autoincrement=False)


def text_key(name: str, *, nullable: bool = False) -> Column[bytes]:
    """Declares a reference to a text, by its hash."""
    return Column(name, LargeBinary, ForeignKey("texts.hash"), nullable=nullable)


def calls_table(name: str, *constraints: SchemaItem) -> Table:
    """Declares a table of calls that are about to be sent."""
    return keyed(
        name,
        run_key(),
        step_key(),
        attempt_key(),
        Column("number", SmallInteger, primary_key=True, autoincrement=False),
        Column("model", WORDS, nullable=False),
        Column("reserved_usd", Double, nullable=False),
        Column("called_at", Double, nullable=False),
        *constraints,
    )


def call_ends_table(name: str) -> Table:
    """Declares a table of what came of calls for planned steps."""
    return keyed(
        name,
        run_key(),
        step_key(),
        attempt_key(),
        Column("number", SmallInteger, primary_key=True, autoincrement=False),
        Column("outcome", WORDS, nullable=False),
        Column("tokens_in", Integer, nullable=False),
        Column("tokens_cached", Integer, nullable=False),
        Column("tokens_out", Integer, nullable=False),
        Column("tokens_reasoning", Integer, nullable=False),
        Column("usd", Double, nullable=False),
        Column("presumed", Boolean, nullable=False),
        Column("latency_s", Double, nullable=False),
        text_key("error", nullable=True),
        Column("ended_at", Double, nullable=False),
        of_step("plans"),
    )


def of_step(table: str) -> ForeignKeyConstraint:
    """Says that a row's run and step are those of a row of another table."""
    return ForeignKeyConstraint(["run", "step"], [f"{table}.run", f"{table}.step"])
