import pytest
from archive_kit import INITIAL, started
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, inspect, text

from evolve.archive import tables
from evolve.archive.migrations import MIGRATIONS, bring_up_to_date, m001_initial, refuse_newer, schema_version
from evolve.archive.store import Archive
from evolve.errors import ArchiveError

EMBEDDERS = ("vectors", "embedding_calls", "embedding_call_ends", "unembedded", "calibrations")
JUDGE = ("judge_calls", "judge_call_ends", "judgements")


def m002_remarks(connection):
    Table("remarks", MetaData(), Column("run", Integer)).create(connection)


def m003_breaks(connection):
    m002_remarks(connection)
    raise RuntimeError("half way")


@pytest.fixture
def engine(where):
    made = create_engine(where if "://" in where else f"sqlite:///{where}")
    yield made
    made.dispose()


def test_a_new_archive_has_every_table_and_every_migration(engine):
    with engine.begin() as connection:
        bring_up_to_date(connection, "a.db", 1.0)
        assert schema_version(connection, "a.db") == len(MIGRATIONS)
        assert set(inspect(connection).get_table_names()) == {*tables.metadata.tables, "evolve_migrations"}


def test_an_older_archive_gets_only_what_it_lacks(engine):
    with engine.begin() as connection:
        bring_up_to_date(connection, "a.db", 1.0, [m001_initial])
    with engine.begin() as connection:
        bring_up_to_date(connection, "a.db", 2.0, [m001_initial, m002_remarks])
        applied = connection.execute(text("SELECT number, name, applied_at FROM evolve_migrations ORDER BY number")).all()
    assert applied == [(1, "m001_initial", 1.0), (2, "m002_remarks", 2.0)]
    assert "remarks" in inspect(engine).get_table_names()


def test_an_archive_that_is_up_to_date_is_left_alone(engine):
    with engine.begin() as connection:
        bring_up_to_date(connection, "a.db", 1.0)
        bring_up_to_date(connection, "a.db", 2.0)
        assert connection.execute(text("SELECT applied_at FROM evolve_migrations")).scalars().all() == [1.0] * len(MIGRATIONS)


def test_a_migration_that_breaks_leaves_the_archive_as_it_was(where):
    with Archive.open(where, create=True) as archive:
        with pytest.raises(RuntimeError, match="half way"), archive._database.write() as connection:
            bring_up_to_date(connection, "a.db", 2.0, [*MIGRATIONS, m003_breaks])
        with archive.read() as connection:
            assert schema_version(connection, "a.db") == len(MIGRATIONS)
            assert "remarks" not in inspect(connection).get_table_names()


def test_records_outlive_a_migration(where):
    with Archive.open(where, create=True) as archive:
        run, writer = started(archive)
        writer.close()
        with archive._database.write() as connection:
            bring_up_to_date(connection, "a.db", 2.0, [*MIGRATIONS, m002_remarks])
        assert archive.program(run, INITIAL.program_id)[0] == INITIAL


def test_an_archive_of_the_first_version_is_taken_up(where):
    with Archive.open(where, create=True) as archive:
        run, writer = started(archive)
        writer.close()
        with archive._database.write() as connection:
            connection.execute(text("ALTER TABLE evaluations DROP COLUMN details"))
            connection.execute(text("DROP TABLE holdouts"))
            connection.execute(text("DROP INDEX replies_by_request"))
            for column in (
                "sessions.budget_usd",
                "replies.request",
                "plans.failures",
                "plans.unavailable",
                "plans.usd_per_step",
                "replies.finish",
                "additions.traits",
                "plans.new_approach",
                "evaluations.host",
            ):
                connection.execute(text("ALTER TABLE {} DROP COLUMN {}".format(*column.split("."))))
            connection.execute(text("ALTER TABLE runs DROP COLUMN rescores"))
            for table in ("calls", "call_ends", "advice", "start_sources", "starts", "notes", "afresh", *EMBEDDERS, *JUDGE):
                connection.execute(text(f"DROP TABLE {table}"))
            connection.execute(text("DELETE FROM evolve_migrations WHERE number > 1"))
    with Archive.open(where) as archive:
        program, evaluation = archive.program(run, INITIAL.program_id)
        assert program == INITIAL
        assert evaluation is None or (evaluation.verified, evaluation.host) == (None, "")
        assert archive.held_out(run) == set()


def test_a_newer_archive_is_refused_with_both_versions():
    with pytest.raises(
        ArchiveError, match=rf"a\.db has schema version 9, and .* knows versions up to {len(MIGRATIONS)}; update evolve"
    ):
        refuse_newer(9, "a.db")


def test_opening_a_newer_archive_says_so(where):
    future = len(MIGRATIONS) + 1
    with Archive.open(where, create=True) as archive, archive._database.write() as connection:
        connection.execute(text(f"INSERT INTO evolve_migrations VALUES ({future}, 'm_future', 5.0)"))
    for create in (False, True):
        with pytest.raises(ArchiveError, match=rf"schema version {future}, .* up to {len(MIGRATIONS)}"):
            Archive.open(where, create=create)


def test_a_database_of_something_else_is_refused_and_left_alone(where, engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE customers (name TEXT)"))
    for create in (False, True):
        with pytest.raises(ArchiveError, match=r"database of something else \(tables customers\); name another one"):
            Archive.open(where, create=create)
    assert inspect(engine).get_table_names() == ["customers"]
