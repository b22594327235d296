"""What only PostgreSQL knows: how a server is connected to, how its transactions begin, and what its errors mean.

SQLite takes one lock for whatever is written. Here only what must is done one at a time, by advisory locks that end with their
transaction: numbering (runs, advice), the records of one run against whoever takes it over, and tables being changed against
everything else. Runs never wait for each other's commits.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from evolve.archive.locks import SILENCE_S
from evolve.archive.transactions import Altering, Durability, Numbering, Reading, Recording, purpose_of
from evolve.errors import ArchiveError

if TYPE_CHECKING:  # imported when it is used, and not installed everywhere
    from psycopg.pq.abc import PGconn

#: The key space of our advisory locks ("evol"): a database may hold those of other programs too.
_LOCKS = 0x65766F6C
# Second keys; those of runs are their numbers, from 1.
_TABLES, _NUMBERS = 0, -1

#: What the driver is told unless the URL says otherwise. Without the last two, one waits for hours for a machine that is gone.
_DEFAULTS = {"application_name": "evolve", "connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 60_000}


def make_engine(url: URL, name: str, *, durability: Durability, timeout_s: float) -> Engine:
    """Makes the engine of a database; nothing is connected yet.

    Args:
        url: Of the database.
        name: How messages call it.
        durability: ``"normal"`` leaves it to the server whether a commit waits for its disk (it does unless told otherwise);
            with ``"full"`` it does.
        timeout_s: How long a transaction waits for another one.

    Raises:
        ArchiveError: If it is none of PostgreSQL, or the driver is not installed.
    """
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ArchiveError(
            f"archive {name}: archives are SQLite files or PostgreSQL databases; write FILE, or postgresql+psycopg://USER@HOST/NAME"
        )
    given = {key: value for key, value in _DEFAULTS.items() if key not in url.query}
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            # Every run of a process holds one connection; how many there may be is the server's to say.
            max_overflow=-1,
            # A server that was started again in between does not fail whoever reads next.
            pool_pre_ping=True,
            # Transactions begin as `_begin` says, not as the driver would.
            connect_args={**given, "autocommit": True, "client_encoding": "utf8"},
        )
    except ImportError as error:  # no psycopg, or one without its library
        raise ArchiveError(
            f"archive {name} needs a database driver that is not installed: pip install 'evolve-platform[postgres]' ({error})"
        ) from error

    def settle(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        _settle(connection, name, durability, timeout_s)

    event.listen(engine, "connect", settle)
    event.listen(engine, "begin", _begin)
    return engine


def _settle(connection: Any, name: str, durability: Durability, timeout_s: float) -> None:  # Any: the driver's, imported when used
    """Tells a new connection what archives rely on, whatever the server's or the user's own settings are."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ArchiveError(
            f"archive {name}: the database keeps text as {encoding}, which not every program can be written in; make one with "
            "createdb --encoding=UTF8 --template=template0 NAME"
        )
    # Floats must come back to the last bit.
    settings = f"SET lock_timeout = {max(1, round(1000 * timeout_s))}; SET extra_float_digits = 1"
    # Unless somebody has chosen otherwise for the server, the database or the user, that is how it is anyway. With "off" a crash
    # of the server takes the last commits back, but not the death of one of our processes.
    connection.execute(f"{settings}; SET synchronous_commit = on" if durability == "full" else settings)


def _begin(connection: Connection) -> None:
    # One message to the server. The lock comes before anything is read: each statement of a writing transaction sees what was
    # committed before it, so whoever has waited sees what it has waited for.
    pooled = connection.connection
    driver: Any = pooled.dbapi_connection  # Any: the driver's, imported when used
    begun = False
    try:
        pooled.cursor().execute(_beginning(connection))
        begun = True
    finally:
        # What was waited for in vain has left a transaction behind, of which SQLAlchemy knows nothing.
        if not begun and not driver.closed:
            pooled.rollback()


def _beginning(connection: Connection) -> str:
    match purpose_of(connection):
        case Reading():
            return f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {_lock(_TABLES, shared=True)}"
        case Numbering():
            return f"{_writing()}; {_lock(_TABLES, shared=True)}; {_lock(_NUMBERS)}"
        case Recording(run):
            return f"{_writing()}; {_lock(_TABLES, shared=True)}; {_lock(run)}"
        case Altering():
            return f"{_writing()}; {_lock(_TABLES)}"


def _writing() -> str:
    # Whoever falls silent with a lock in hand (suspended, or cut off from the network) loses both, so that others can go on.
    return (
        "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; "
        f"SET LOCAL idle_in_transaction_session_timeout = {round(1000 * SILENCE_S)}"
    )


def _lock(key: int, *, shared: bool = False) -> str:
    return f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}({_LOCKS}, {key})"


_LOST = (
    "lost its connection to the database server; what was committed is safe, and nothing is there by half: see that the server "
    "runs, then `evolve resume`"
)
_LOCKED = "is locked by another process; let that one finish, or stop it, and try again"
_FULL_DISK = "cannot grow: the disk of its server is full; what was committed is safe: free some space there, then `evolve resume`"
_CROWDED = (
    "cannot be opened: its server has as many connections as it takes; end some, or raise max_connections there "
    "(a run takes two or three)"
)
_BUSY = "cannot be opened yet: its server is starting, stopping or being restored; try again in a moment"
_READ_ONLY = (
    "cannot be written: its server, or this user's transactions, are read-only (a standby, perhaps); name the server that "
    "writes, or another user"
)
_FORBIDDEN = (
    "refuses this user; have its owner GRANT CREATE ON SCHEMA public to make an archive there, SELECT, INSERT, UPDATE ON ALL "
    "TABLES IN SCHEMA public to write to one that is there, SELECT alone to read it"
)
_CUT_SHORT = "was too slow for a time limit of its server or of this user (statement_timeout); raise it, and try again"
#: What to say about the server's errors, by their code or, for a whole class of them, its first two letters.
_ADVICE: Mapping[str, str] = {
    "08": _LOST,
    "25P03": _LOST,
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _BUSY,
    "57014": _CUT_SHORT,
    "55P03": _LOCKED,
    "40": "was changed by others at the same moment; try again",
    "53100": _FULL_DISK,
    "53300": _CROWDED,
    "25006": _READ_ONLY,
    "42501": _FORBIDDEN,
    "3F000": "has no schema to keep tables in; CREATE SCHEMA public there, or name another database",
}
#: The same where a connection could not be made: then there is no code, only what the server or the driver wrote, in English
#: unless the server was told otherwise. The first that fits counts.
_REFUSALS: tuple[tuple[str, str], ...] = (
    ("no password supplied", "wants a password: put it into ~/.pgpass, PGPASSWORD, or the URL behind the user's name"),
    ("password authentication failed", "refuses the user's name or password; check both (~/.pgpass, PGPASSWORD, or the URL)"),
    (r'role ".*" does not exist', "knows no such user; name another in the URL, or have one made with createuser"),
    (r'database ".*" does not exist', "does not exist; make it with: createdb {database}"),
    ("no pg_hba.conf entry", "may not be opened from here by this user; its server's pg_hba.conf says who may"),
    ("too many (clients|connections)|remaining connection slots", _CROWDED),
    ("starting up|shutting down|in recovery mode|not yet accepting", _BUSY),
    ("permission denied for database", "refuses this user; have its owner say GRANT CONNECT ON DATABASE, or name another user"),
    (
        "could not translate host name|failed to resolve host|Name or service not known",
        "cannot be reached: there is no such host; check its name in the URL",
    ),
    (
        "refused|No such file or directory|timeout|timed out|unreachable|No route to host|reset by peer|closed the connection|EOF",
        "cannot be reached: no database server answers there; check host and port in the URL, and that it runs (a run that it has "
        "interrupted goes on with `evolve resume`)",
    ),
)


def advice(error: BaseException) -> str | None:
    """Says what an error of the driver means for an archive, and what to do about it; None of one that says enough itself."""
    # Where this is called the driver is there: it has raised the error.
    import psycopg

    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is not None:
        return _ADVICE.get(error.sqlstate) or _ADVICE.get(error.sqlstate[:2])
    # It was being connected. Where not even that had begun, there is nothing to attach to the error.
    if error.pgconn is not None or re.search("failed to resolve host|connection timeout expired", str(error)):
        return _refusal(str(error), error.pgconn)
    return _LOST if isinstance(error, psycopg.OperationalError) else None


def _refusal(said: str, tried: PGconn | None) -> str:
    for words, meaning in _REFUSALS:
        if re.search(words, said):
            return meaning if tried is None else meaning.replace("{database}", _words_for(tried))
    return "cannot be opened"


def _words_for(tried: PGconn) -> str:
    """Writes the options and the name by which PostgreSQL's own commands would find a database."""
    options = (("-h", tried.host), ("-p", tried.port), ("-U", tried.user))
    words = [word for option, value in options if value for word in (option, _text(value))]
    return shlex.join([*words, _text(tried.db)])


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
