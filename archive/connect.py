"""Turns a file or a URL into connections, and the database's errors into messages.

Everything that only SQLite knows is here: its pragmas, its way to begin a transaction, its error codes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from evolve.errors import ArchiveError

Durability = Literal["normal", "full"]

#: The execution option of connections that write: their transactions take the write lock at once.
WRITES = "evolve_writes"

# 4 kB pages make archives 8 % larger, for rows of one to five kB fill them badly; 16 kB pages make commits dearer.
_PAGE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Place:
    """Where an archive is.

    Attributes:
        name: How messages call it; without a password.
        path: Its file; None when a database server keeps it.
        url: Of the database server; None for a file.
    """

    name: str
    path: Path | None = None
    url: URL | None = None


def locate(where: str | Path) -> Place:
    """Reads what a user wrote for an archive: a file, or an SQLAlchemy URL.

    Raises:
        ArchiveError: If it is a URL that SQLAlchemy cannot read, or names no file.
    """
    if isinstance(where, Path) or "://" not in where:
        return Place(str(where), Path(where))
    try:
        url = make_url(where)
    except ArgumentError as error:
        raise ArchiveError(
            f"archive {where!r} is neither a file nor a database URL such as postgresql+psycopg://host/name"
        ) from error
    if url.get_backend_name() != "sqlite":
        return Place(url.render_as_string(hide_password=True), None, url)
    if not url.database or url.database == ":memory:":
        raise ArchiveError(f"archive {where!r} names no file; write sqlite:///FILE or just FILE")
    return Place(url.database, Path(url.database))


def make_engine(place: Place, *, create: bool, durability: Durability, timeout_s: float) -> Engine:
    """Makes the engine of an archive; nothing is connected yet.

    Args:
        place: Where it is.
        create: Whether a missing file is made.
        durability: ``"normal"`` survives the death of any process, ``"full"`` a power cut as well.
        timeout_s: How long a transaction waits for another one.

    Raises:
        ArchiveError: If there is no such file or folder, or no driver for the URL.
    """
    if place.url is not None:
        try:
            return create_engine(place.url, pool_pre_ping=True)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise ArchiveError(f"archive {place.name} needs a database driver that is not installed: {error}") from error
    path = Path(place.path or place.name).absolute()
    try:
        mode = _mode(path, create)
    except PermissionError as error:
        raise ArchiveError(f"archive {path} {_REFUSED} ({error.strerror})") from error

    def connect() -> sqlite3.Connection:
        return _connect_sqlite(f"{path.as_uri()}?mode={mode}", durability, timeout_s, create)

    # Named parameters, as every other driver of interest has them: rows can be dictionaries everywhere.
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, paramstyle="named")
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _mode(path: Path, create: bool) -> str:
    """Picks how SQLite opens a file: read-write, made if missing, or as one that nobody changes.

    Raises:
        ArchiveError: If it cannot be opened at all.
    """
    if path.is_dir():
        raise ArchiveError(f"archive {path} is a folder; name a file, such as {path / 'evolve.db'}")
    if not path.parent.is_dir():
        raise ArchiveError(
            f"archive {path} cannot be opened: folder {path.parent} does not exist; make it first, or name another place"
        )
    if create:
        return "rwc"
    if not path.exists():
        raise ArchiveError(f"archive {path} does not exist; `evolve run TASK --archive {path}` makes it, or name another one")
    # Readers of a write-ahead log need a file beside it, which a read-only folder refuses. With no log there, nobody
    # is writing, and SQLite may read the file as it is.
    effective = os.access in os.supports_effective_ids
    folder_writable = os.access(path.parent, os.W_OK, effective_ids=effective)
    return "rw" if folder_writable or path.with_name(path.name + "-wal").exists() else "ro&immutable=1"


def _connect_sqlite(uri: str, durability: Durability, timeout_s: float, create: bool) -> sqlite3.Connection:
    # No isolation level: the driver must not begin transactions of its own. Threads: the pool lends a connection to one
    # at a time.
    connection = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        if create:
            connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={durability}")
        connection.execute("PRAGMA foreign_keys=ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns out to write cannot wait for another writer: it fails at once.
    writes = connection.get_execution_options().get(WRITES, False)
    # By the driver: SQLAlchemy takes as long again as a whole empty transaction.
    connection.connection.cursor().execute("BEGIN IMMEDIATE" if writes else "BEGIN")


@dataclass(frozen=True, slots=True)
class Database:
    """An archive's engine with the name that messages give it."""

    place: Place
    engine: Engine

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns errors of the database into messages.

        Raises:
            ArchiveError: In place of SQLAlchemy's or the driver's error.
        """
        driver = self.engine.dialect.loaded_dbapi
        try:
            yield
        except (DBAPIError, driver.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if isinstance(cause, driver.IntegrityError):
                raise ArchiveError(
                    f"archive {self.place.name}: a record repeats or contradicts an earlier one, and none is replaced ({cause})"
                ) from error
            raise ArchiveError(_message(self.place.name, cause)) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Lends a connection that sees one state of the archive throughout.

        Raises:
            ArchiveError: If the database refuses.
        """
        with self.explained(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Lends a connection in a short transaction, which is committed unless the block raises.

        Raises:
            ArchiveError: If the database refuses.
        """
        with self.explained(), self.writing_connection() as connection, connection.begin():
            yield connection

    def writing_connection(self) -> Connection:
        """Opens a connection whose transactions take the write lock as they begin; the caller closes it."""
        return self.engine.connect().execution_options(**{WRITES: True})


_LOCKED = "is locked by another process; let that one finish, or stop it, and try again"
_REFUSED = "cannot be opened; check the permissions of file and folder, or copy it to a folder of yours"
#: What to say about SQLite's errors. A damaged file is not repaired here: that would hide what is lost.
_ADVICE: Mapping[int, str] = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full; what was committed is safe: free some space, then `evolve resume`",
    sqlite3.SQLITE_READONLY: "cannot be written: file or folder is read-only; change that, or copy it to a folder of yours",
    sqlite3.SQLITE_CANTOPEN: _REFUSED,
    sqlite3.SQLITE_PERM: _REFUSED,
    sqlite3.SQLITE_NOTADB: "is not an archive: the file is no SQLite database; name another file",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore a copy, or save what can be read with: sqlite3 FILE .recover",
    sqlite3.SQLITE_IOERR: "could not be read or written; check that its disk works and has space left",
}


def _message(name: str, error: BaseException | None) -> str:
    """Says what went wrong and what to do about it."""
    code = getattr(error, "sqlite_errorcode", None)  # other databases' errors have none
    # The low byte names the kind of error, the rest the occasion.
    advice = _ADVICE.get(code & 0xFF) if isinstance(code, int) else None
    return f"archive {name} {advice} ({error})" if advice else f"archive {name}: {error}"
