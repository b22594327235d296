"""Archives that earlier versions wrote are read, written and gone on with."""

import sqlite3
from pathlib import Path

import pytest
from archive_kit import ok, write_step

from evolve.archive.migrations import MIGRATIONS, schema_version
from evolve.archive.queries import steps
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.program import Stage

SCHEMA_1 = Path(__file__).with_name("schema_1.sql")


@pytest.fixture
def old(tmp_path) -> Path:
    """A file as schema version 1 had it, with a run of three steps that minimises from 4 to 1."""
    where = tmp_path / "old.db"
    connection = sqlite3.connect(where)
    connection.executescript(SCHEMA_1.read_text())
    connection.close()
    return where


def test_a_run_of_schema_version_1_is_read_as_it_was(old):
    with Archive.open(old) as archive:
        with archive.read() as connection:
            assert schema_version(connection, "old.db") == len(MIGRATIONS)
        shown = summary(archive, 1)
        rows = list(steps(archive, 1))
        _, evaluation = archive.program(1, shown["best"]["program"])
    assert (shown["initial"]["objective"], shown["best"]["objective"]) == (4.0, 1.0)
    assert shown["verification"] == {"checked": 0, "disagreed": 0}
    assert shown["best"]["holdout"] is None
    assert [row["stage"] for row in rows] == ["evaluate"] * 4
    assert (evaluation.stage, evaluation.verified, evaluation.values) == (Stage.EVALUATE, None, ())
    assert not evaluation.shared_process


def test_a_run_of_schema_version_1_can_be_gone_on_with(old):
    with Archive.open(old) as archive:
        parent, _ = archive.program(1, summary(archive, 1)["best"]["program"])
        with archive.writer(1) as writer:
            write_step(writer, 4, ok(0.5, verified=True), parent=parent)
            writer.holdout(4, ok(0.25, stage=Stage.HOLDOUT))
        shown = summary(archive, 1)
    assert shown["best"]["objective"] == 0.5
    assert shown["best"]["holdout"]["objective"] == 0.25
    assert shown["verification"] == {"checked": 1, "disagreed": 0}


def test_a_process_of_schema_version_1_that_is_still_writing_can_go_on(old):
    connection = sqlite3.connect(old)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(evaluations)")]
    row = connection.execute("SELECT * FROM evaluations WHERE step = 3").fetchone()
    connection.execute("DELETE FROM evaluations WHERE step = 3")
    connection.commit()
    with Archive.open(old) as archive:
        # As that version wrote it: with the columns that it knew.
        marks = ", ".join("?" for _ in columns)
        connection.execute(f"INSERT INTO evaluations ({', '.join(columns)}) VALUES ({marks})", row)
        connection.commit()
        assert next(item for item in steps(archive, 1) if item["step"] == 3)["stage"] == "evaluate"
    connection.close()
