import itertools
import os
import shutil
import sqlite3
from contextlib import contextmanager
from pathlib import Path

import pytest
from archive_kit import INITIAL, begin, child_of, new_run, ok, plan_of, started, write_step
from sqlalchemy import event
from sqlalchemy.pool import Pool

from evolve.archive.connect import locate, without_password
from evolve.archive.store import Archive
from evolve.errors import ArchiveError


def test_a_missing_file_says_how_runs_make_one(tmp_path):
    with pytest.raises(ArchiveError, match=r"a\.db does not exist; `evolve run TASK --archive .*a\.db` makes it"):
        Archive.open(tmp_path / "a.db")
    assert not (tmp_path / "a.db").exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ArchiveError, match=r"folder .*nowhere does not exist; make it first"):
        Archive.open(tmp_path / "nowhere" / "a.db", create=True)


def test_a_folder_is_no_archive(tmp_path):
    with pytest.raises(ArchiveError, match=r"is a folder; name a file, such as .*evolve\.db"):
        Archive.open(tmp_path, create=True)


@pytest.mark.parametrize("create", [False, True])
def test_garbage_is_no_archive_and_is_left_alone(tmp_path, create):
    garbage = b"this is certainly not a database, however long one looks at it" * 100
    (tmp_path / "a.db").write_bytes(garbage)
    with pytest.raises(ArchiveError, match=r"a\.db is not an archive: the file is no SQLite database; name another file"):
        Archive.open(tmp_path / "a.db", create=create)
    assert (tmp_path / "a.db").read_bytes() == garbage


def test_an_empty_file_is_filled_by_a_run_only(tmp_path):
    (tmp_path / "a.db").touch()
    with pytest.raises(ArchiveError, match="is empty; `evolve run TASK"):
        Archive.open(tmp_path / "a.db")
    with Archive.open(tmp_path / "a.db", create=True) as archive:
        assert archive.run_numbers() == []


def test_a_lock_that_outlasts_the_timeout_is_explained(tmp_path):
    with Archive.open(tmp_path / "a.db", create=True, timeout_s=0.05) as archive:
        other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ArchiveError, match="is locked by another process; let that one finish"):
            archive.create_run(new_run())
        other.execute("ROLLBACK")
        other.close()
        assert archive.create_run(new_run()) == 1


def test_records_survive_a_locked_commit_and_are_written_by_the_next(tmp_path):
    with Archive.open(tmp_path / "a.db", create=True, timeout_s=0.05) as archive:
        run, writer = started(archive)
        other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writer.plan(plan_of(1))
        with pytest.raises(ArchiveError, match="locked"):
            writer.commit()
        other.execute("ROLLBACK")
        other.close()
        writer.commit()
        assert [item.plan.step for item in archive.history(run)[1]] == [1]
        writer.close()


@contextmanager
def disk_of(pages: int):
    """Every connection made meanwhile sees a disk that is full once its database has so many pages."""

    def limit(connection: sqlite3.Connection, record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(Pool, "connect", limit)
    yield
    event.remove(Pool, "connect", limit)


def write_until_it_fails(writer, steps):
    for step in steps:
        writer.plan(plan_of(step))
        writer.program(child_of(INITIAL, step), os.urandom(500).hex())
        writer.commit()


def test_a_full_disk_is_explained_and_loses_nothing_that_was_committed(tmp_path):
    with Archive.open(tmp_path / "a.db", create=True) as archive:
        run, writer = started(archive)
        writer.close()
    pages = int(sqlite3.connect(tmp_path / "a.db").execute("PRAGMA page_count").fetchone()[0]) + 8
    steps = itertools.count(1)
    with disk_of(pages), Archive.open(tmp_path / "a.db") as archive:
        writer = archive.writer(run)
        with pytest.raises(ArchiveError, match="the disk is full; what was committed is safe: free some space, then"):
            write_until_it_fails(writer, steps)
        writer.close()
    written = next(steps) - 2
    assert written > 0
    with Archive.open(tmp_path / "a.db") as archive:
        _, pending = archive.history(run)
        assert [item.plan.step for item in pending] == list(range(1, written + 1))
        assert pending[-1].program == child_of(INITIAL, written)
        with archive.writer(run) as writer:
            writer.plan(plan_of(written + 1))


@contextmanager
def unprivileged():
    """Drops root's right to write anywhere, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder that anybody may enter; pytest's own is closed to others."""
    folder = Path("/tmp") / f"evolve-test-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def finished_archive(folder: Path) -> Path:
    with Archive.open(folder / "a.db", create=True) as archive:
        _, writer = started(archive)
        writer.close()
    return folder / "a.db"


def test_an_archive_in_a_read_only_folder_can_be_read(open_folder):
    where = finished_archive(open_folder)
    where.chmod(0o444)
    open_folder.chmod(0o555)
    with unprivileged(), Archive.open(where) as archive:
        assert archive.program(1, INITIAL.program_id)[0] == INITIAL


def test_writing_to_a_read_only_folder_is_explained(open_folder):
    where = finished_archive(open_folder)
    where.chmod(0o444)
    open_folder.chmod(0o555)
    with unprivileged(), Archive.open(where) as archive:
        with pytest.raises(ArchiveError, match="cannot be written: file or folder is read-only; change that, or copy it"):
            archive.create_run(new_run())
        with pytest.raises(ArchiveError, match="cannot be written"):
            archive.writer(1)


def test_making_an_archive_in_a_read_only_folder_is_explained(open_folder):
    open_folder.chmod(0o555)
    with unprivileged(), pytest.raises(ArchiveError, match=r"a\.db cannot be opened; check the permissions"):
        Archive.open(open_folder / "a.db", create=True)


def test_a_folder_that_may_not_be_entered_is_explained(open_folder):
    where = finished_archive(open_folder)
    open_folder.chmod(0o600)
    with unprivileged(), pytest.raises(ArchiveError, match=r"a\.db cannot be opened; check the permissions"):
        Archive.open(where)


def test_a_damaged_file_is_explained(tmp_path):
    where = finished_archive(tmp_path)
    with where.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (where.stat().st_size - 4096))
    with pytest.raises(ArchiveError, match="is damaged; restore a copy"), Archive.open(where) as archive:
        archive.program(1, INITIAL.program_id)


def test_an_sqlite_url_names_the_same_file(tmp_path):
    where = finished_archive(tmp_path)
    with Archive.open(f"sqlite:///{where}") as archive:
        assert archive.run_numbers() == [1]


def test_a_url_without_a_file_is_refused():
    with pytest.raises(ArchiveError, match="names no file; write sqlite:///FILE"):
        Archive.open("sqlite://", create=True)


def test_a_url_that_cannot_be_read_is_refused():
    with pytest.raises(ArchiveError, match="neither a file nor a database URL"):
        Archive.open("my file://")


def test_databases_of_other_kinds_are_refused():
    with pytest.raises(ArchiveError, match=r"archives are SQLite files or PostgreSQL databases; write FILE, or postgresql"):
        Archive.open("nosuchbase://host/name")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cret@host/name",
        "postgresql://me@host/name?password=s3cret&sslmode=require",
        "postgresql://me:x%40s3cret@host:5433/name?sslpassword=s3cret",
    ],
)
def test_a_password_is_not_shown(url):
    place = locate(url)
    assert "s3cret" not in place.name
    assert "***@" in place.name or "password=hidden" in place.name
    assert "s3cret" in place.url.render_as_string(hide_password=False)
    again = without_password(url)
    assert "s3cret" not in again
    assert "***" not in again
    assert locate(again).url.host == "host"


def test_a_url_that_cannot_be_read_shows_no_password_either():
    with pytest.raises(ArchiveError, match=r"archive 'postgresql://\*\*\*@host:port/name' is neither") as caught:
        locate("postgresql://me:s3c@ret@host:port/name")
    assert caught.value.__cause__ is None


def test_a_file_is_shown_as_it_was_written():
    assert without_password("runs/a #1.db") == "runs/a #1.db"


def test_file_names_may_hold_what_urls_may_not(tmp_path):
    where = tmp_path / "a #1?mode=ro%20.db"
    with Archive.open(where, create=True) as archive:
        archive.create_run(new_run())
    assert where.exists()


@pytest.mark.parametrize(("durability", "level"), [("normal", 1), ("full", 2)])
def test_durability_is_what_sqlite_is_told(tmp_path, durability, level):
    with Archive.open(tmp_path / "a.db", create=True, durability=durability) as archive, archive.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_an_unknown_durability_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'normal' or 'full', got 'paranoid'"):
        Archive.open(tmp_path / "a.db", create=True, durability="paranoid")


def test_nothing_but_the_file_is_left_when_it_is_closed(tmp_path):
    finished_archive(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


def test_reading_goes_on_while_somebody_writes(tmp_path):
    with Archive.open(tmp_path / "a.db", create=True) as archive, Archive.open(tmp_path / "a.db") as reader:
        run = archive.create_run(new_run())
        with archive.writer(run) as writer:
            begin(writer)
            with archive._database.write(), reader.read():
                assert len(reader.history(run)[0]) == 1
            write_step(writer, 1, ok(2.0))
            assert len(reader.history(run)[0]) == 2
