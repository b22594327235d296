"""A throw-away PostgreSQL server for tests: its own folder, port and process, and a fresh database for each test."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Who may connect without a password, and who needs one.
ADMIN, GUARDED, PASSWORD = "admin", "guarded", "s3cret-word"

# Another order of letters than the bytes', as most servers have it: nothing may depend on it.
_INITDB = ("--no-sync", "--auth=trust", f"--username={ADMIN}", "--encoding=UTF8", "--locale=C")
_OTHER_ORDER = ("--locale-provider=icu", "--icu-locale=en-US")  # from version 15
# Nothing here has to survive a power cut.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "autovacuum": "off", "max_wal_size": "256MB"}
_HBA = f"""\
host all {GUARDED} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
local all all trust
"""
# It ends with whoever started it, however that one ends: then the pipe closes.
_RUN = '"$@" & server=$!; read -r _; kill -QUIT $server; wait $server'


def binaries() -> Path | None:
    """Where PostgreSQL's own programs are; None where there are none."""
    found = shutil.which("pg_ctl")
    if found and shutil.which("initdb"):
        return Path(found).resolve().parent
    # Debian keeps them out of the path.
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda folder: int(folder.parent.name), default=None)


class Server:
    """A server that runs until `stop`; it can be started again on the same port."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = _unprivileged()
        # Short: the path of a socket has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="evolve-pg-", dir="/tmp"))
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._numbers = itertools.count(1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # "postgres (PostgreSQL) 15.18 ..."
        self._version = int(self._call("postgres", "--version").split()[2].split(".")[0])
        order = _OTHER_ORDER if self._version >= 15 else ()
        self._call("initdb", *_INITDB, *order, "-D", str(self._cluster))
        (self._cluster / "pg_hba.conf").write_text(_HBA)
        self.start()

    @property
    def _cluster(self) -> Path:
        return self.folder / "cluster"

    def _call(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [str(self._programs / program), *words], capture_output=True, text=True, check=False, user=self._user, cwd=self.folder
        )
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(words)} failed: {done.stderr}")
        return done.stdout

    def start(self) -> None:
        """Starts it, and returns when it takes connections."""
        settings = {**_SETTINGS, "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._cluster), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _RUN, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the tests
            )
        for _ in range(600):
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended: {(self.folder / 'log').read_text()[-2000:]}")
            if self._ready():
                return
        raise RuntimeError("the server does not take connections")

    def _ready(self) -> bool:
        words = ["-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        done = subprocess.run([str(self._programs / "pg_isready"), *words], check=False)
        if done.returncode:
            # Nobody listens yet: the answer comes at once.
            self._wait_s(0.02)
        return done.returncode == 0

    def _wait_s(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def stop(self) -> None:
        """Ends it at once, as a crash would; what was committed and written is there when it starts again."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def remove(self) -> None:
        """Ends it and removes all that is left of it."""
        self.stop()
        shutil.rmtree(self.folder)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Runs a statement as the administrator."""
        import psycopg

        with psycopg.connect(self.url(database, driver=""), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def url(self, database: str, user: str = ADMIN, driver: str = "+psycopg") -> str:
        """The URL of a database."""
        return f"postgresql{driver}://{user}@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """Makes an empty database and returns its name."""
        # Copying files is the quick way for so small ones.
        return self._make("STRATEGY file_copy" if self._version >= 15 else "")

    def narrow(self) -> str:
        """Makes an empty database that holds few characters."""
        return self._make(
            f"ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0 {'LOCALE_PROVIDER libc' if self._version >= 15 else ''}"
        )

    def _make(self, options: str) -> str:
        name = f"t{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} {options}")
        return name


def _unprivileged() -> str | None:
    """Whom a server runs as: root may not, anybody else is."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server for all tests of the session."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'evolve-platform[postgres]'")
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")
    server = Server(programs)
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: Server) -> str:
    """An empty database on it."""
    return postgres.url(postgres.fresh())


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a test may make an archive: once a file, once a database of a server."""
    if request.param == "sqlite":
        return str(tmp_path / "a.db")
    url: str = request.getfixturevalue("postgres_url")
    return url
