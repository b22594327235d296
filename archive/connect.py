"""Turns a file or a URL into connections, and the database's errors into messages.

What only SQLite knows is in `sqlite`, what only PostgreSQL knows in `postgres`; nothing else of the archive knows which it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from evolve.archive import postgres, sqlite
from evolve.archive.transactions import Durability, Numbering, Purpose, for_purpose
from evolve.errors import ArchiveError

# What a URL's query may hold that nobody shall see.
_SECRETS = ("password", "sslpassword")


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
    except (ArgumentError, ValueError) as error:  # ValueError: its port is no number
        # What cannot be read may hold a password all the same. The error shows it, so it is left out too.
        shown = re.sub(r"://.*@", "://***@", where)
        raise ArchiveError(
            f"archive {shown!r} is neither a file nor a database URL such as postgresql+psycopg://USER@HOST:5432/NAME "
            "(in a password, write %40 for @, %2F for / and %3A for :)"
        ) from (None if shown != where else error)
    if url.get_backend_name() != "sqlite":
        return Place(_shown(url), None, url)
    if not url.database or url.database == ":memory:":
        raise ArchiveError(f"archive {where!r} names no file; write sqlite:///FILE or just FILE")
    return Place(url.database, Path(url.database))


def without_password(where: str | Path) -> str:
    """Writes an archive's place as a command may show it to be typed again: its user's password comes from elsewhere then."""
    place = locate(where)
    if place.url is None:
        return str(where)
    return place.url.difference_update_query(_SECRETS)._replace(password=None).render_as_string(hide_password=False)


def _shown(url: URL) -> str:
    hidden = url.update_query_dict({name: "hidden" for name in _SECRETS if name in url.query})
    return hidden.render_as_string(hide_password=True)


@dataclass(frozen=True, slots=True)
class Database:
    """An archive's engine with the name that messages give it.

    Attributes:
        place: Where it is.
        engine: What makes its connections.
        advice: Says what an error means and what to do about it, as the end of a sentence that begins with the archive's name; None
            of one that says enough itself.
    """

    place: Place
    engine: Engine
    advice: Callable[[BaseException], str | None]

    @contextmanager
    def explained(self, connection: Connection | None = None) -> Iterator[None]:
        """Turns errors of the database into messages.

        Args:
            connection: What is used by the driver's own cursor: if it turns out to be lost, it connects anew when it is next used.

        Raises:
            ArchiveError: In place of SQLAlchemy's or the driver's error.
        """
        driver = self.engine.dialect.loaded_dbapi
        try:
            yield
        except (DBAPIError, driver.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
            if connection is not None and isinstance(cause, driver.Error):
                _give_up_if_lost(connection, cause)
            if isinstance(cause, driver.IntegrityError):
                raise ArchiveError(
                    f"archive {self.place.name}: a record repeats or contradicts an earlier one, and none is replaced "
                    f"({_on_one_line(cause)})"
                ) from error
            raise ArchiveError(self._message(cause)) from error

    def _message(self, error: BaseException) -> str:
        advice = self.advice(error)
        said = _on_one_line(error)
        return f"archive {self.place.name} {advice} ({said})" if advice else f"archive {self.place.name}: {said}"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Lends a connection that sees one state of the archive throughout.

        Raises:
            ArchiveError: If the database refuses.
        """
        with self.explained(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, purpose: Purpose = Numbering()) -> Iterator[Connection]:
        """Lends a connection in a short transaction, which is committed unless the block raises.

        Args:
            purpose: What it is for.

        Raises:
            ArchiveError: If the database refuses.
        """
        with self.explained(), self.connection(purpose) as connection, connection.begin():
            yield connection

    def connection(self, purpose: Purpose) -> Connection:
        """Opens a connection for transactions of a purpose; the caller closes it."""
        return for_purpose(self.engine.connect(), purpose)


def open_database(place: Place, *, create: bool, durability: Durability, timeout_s: float) -> Database:
    """Prepares the connections of an archive; nothing is connected yet.

    Args:
        place: Where it is.
        create: Whether a missing file is made. Databases of a server are made by whoever may.
        durability: ``"normal"`` survives the death of any of our processes, ``"full"`` a power cut as well.
        timeout_s: How long a transaction waits for another one.

    Raises:
        ArchiveError: If there is no such file or folder, or the URL is of a database that keeps no archives.
    """
    if place.url is None:
        path = place.path or Path(place.name)
        return Database(place, sqlite.make_engine(path, create=create, durability=durability, timeout_s=timeout_s), sqlite.advice)
    engine = postgres.make_engine(place.url, place.name, durability=durability, timeout_s=timeout_s)
    return Database(place, engine, postgres.advice)


def _give_up_if_lost(connection: Connection, error: Any) -> None:  # Any: an error of the driver
    """Has a connection made anew at its next use, if its server has ended it."""
    if connection.closed or connection.invalidated:
        return
    if connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None):
        connection.invalidate(error)


def _on_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
