"""What only SQLite knows: how a file is opened, its pragmas, how its transactions begin, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from evolve.archive.transactions import Durability, Reading, purpose_of
from evolve.errors import ArchiveError

# 4 kB pages make archives 8 % larger, for rows of one to five kB fill them badly; 16 kB pages make commits dearer.
_PAGE_BYTES = 8192


def make_engine(path: Path, *, create: bool, durability: Durability, timeout_s: float) -> Engine:
    """Makes the engine of a file; nothing is opened yet.

    Args:
        path: The file.
        create: Whether a missing file is made.
        durability: ``"normal"`` survives the death of any process, ``"full"`` a power cut as well.
        timeout_s: How long a transaction waits for another one.

    Raises:
        ArchiveError: If there is no such file or folder.
    """
    path = path.absolute()
    try:
        mode = _mode(path, create)
    except PermissionError as error:
        raise ArchiveError(f"archive {path} {_REFUSED} ({error.strerror})") from error

    def connect() -> sqlite3.Connection:
        return _connect(f"{path.as_uri()}?mode={mode}", durability, timeout_s, create)

    # Named parameters, as every other driver of interest has them: rows can be dictionaries everywhere.
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, paramstyle="named")
    event.listen(engine, "begin", _begin)
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


def _connect(uri: str, durability: Durability, timeout_s: float, create: bool) -> sqlite3.Connection:
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


def _begin(connection: Connection) -> None:
    # A deferred transaction that turns out to write cannot wait for another writer: it fails at once. There is one write
    # lock, whatever is written.
    reads = isinstance(purpose_of(connection), Reading)
    # By the driver: SQLAlchemy takes as long again as a whole empty transaction.
    connection.connection.cursor().execute("BEGIN" if reads else "BEGIN IMMEDIATE")


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


def advice(error: BaseException) -> str | None:
    """Says what an error of SQLite means for an archive, and what to do about it; None of one that says enough itself."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", None)  # errors of the module itself have none
    # The low byte names the kind of error, the rest the occasion.
    return _ADVICE.get(code & 0xFF) if isinstance(code, int) else None
