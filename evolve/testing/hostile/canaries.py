"""Things of ours outside the sandbox that show whether a program reached them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from evolve.testing.hostile.record import Sign

#: The environment variable that holds a secret; the executor and its workers have it.
VARIABLE = "EVOLVE_HOSTILE_API_KEY"
_SHARED_FOLDERS = ("/tmp", "/dev/shm", "/var/tmp")


class Canaries:
    """A folder with a secret file, a variable, a process, and listening sockets; gone when the context is left."""

    def __init__(self) -> None:
        """Makes nothing yet."""
        # 15 characters are what a process's name may have.
        self.token = f"hz{secrets.token_hex(6)}"
        self._secrets = {name: secrets.token_hex(16) for name in ("file", "environment", "process")}
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: dict[str, socket.socket] = {}

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix=f"evolve-{self.token}-"))
        self._lay_out()
        os.environ[VARIABLE] = self._secrets["environment"]
        self._start_process()
        self._listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.environ.pop(VARIABLE, None)
        for one in self._sockets.values():
            one.close()
        self._end_process()
        self._remove_strays()
        shutil.rmtree(self._folder)

    def facts(self) -> dict[str, str]:
        """What a hostile source may know: it is given every advantage."""
        assert self._process is not None
        return {
            "TOKEN": self.token,
            "FOLDER": str(self._folder),
            "FILE": str(self._folder / "evolve.db"),
            "VARIABLE": VARIABLE,
            "PID": str(self._process.pid),
            "TCP": str(self._sockets["TCP"].getsockname()[1]),
            "UDP": str(self._sockets["UDP"].getsockname()[1]),
            "UNIX": str(self._folder / "socket"),
            "ABSTRACT": self.token,
            "HOME": str(Path.home()),
            "PACKAGE": str(Path(__file__).parents[2]),
        }

    def signs(self, said: str) -> dict[Sign, str]:
        """Looks at everything; what it finds is mended for the next program.

        Args:
            said: Everything that came out of the evaluation.

        Returns:
            What was seen, by sign.
        """
        found = {
            Sign.LEAK: ", ".join(f"the secret of the {name}" for name, secret in self._secrets.items() if secret in said),
            Sign.CHANGE: self._changes(),
            Sign.CONTACT: ", ".join(name for name in self._sockets if self._heard(name)),
            Sign.HARM: self._harm(),
        }
        return {sign: text for sign, text in found.items() if text}

    def processes(self) -> list[int]:
        """Process ids of what a hostile program has started and left: they bear the token as their name."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if Path(f"/proc/{name}/comm").read_text().strip() == self.token:
                    found.append(int(name))
        return found

    def _lay_out(self) -> None:
        (self._folder / "evolve.db").write_text(self._secrets["file"])
        (self._folder / "evolve.db").chmod(0o666)
        self._folder.chmod(0o777)

    def _changes(self) -> str:
        expected = {"evolve.db", "socket"}
        entries = {entry.name for entry in os.scandir(self._folder)}
        changes = [f"{name} is gone" for name in sorted(expected - entries)]
        changes += [f"{name} was made outside" for name in [*sorted(entries - expected), *self._remove_strays()]]
        file = self._folder / "evolve.db"
        with suppress(OSError):
            if file.read_text() != self._secrets["file"] or file.stat().st_nlink != 1:
                changes.append(f"{file.name} was altered")
        for name in entries - expected:
            (self._folder / name).unlink()
        if changes:
            file.unlink(missing_ok=True)
            self._lay_out()
        return ", ".join(changes)

    def _remove_strays(self) -> list[str]:
        """Deletes files that bear the token in folders that everybody may write; returns their paths."""
        strays = [path for folder in _SHARED_FOLDERS for path in Path(folder).glob(f"{self.token}*")]
        for path in strays:
            path.unlink(missing_ok=True)
        return [str(path) for path in strays]

    def _start_process(self) -> None:
        # Its secret lies in its environment, and so in its memory.
        environment: Mapping[str, str] = {"SECRET": self._secrets["process"]}
        self._process = subprocess.Popen(["/bin/sleep", "3600"], env=environment, start_new_session=True)

    def _end_process(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _harm(self) -> str:
        assert self._process is not None
        if self._process.poll() is not None:
            status = self._process.returncode
            self._start_process()
            return f"our process was ended ({status})"
        state = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state in "Tt":
            self._end_process()
            self._start_process()
            return "our process was stopped"
        return ""

    def _listen(self) -> None:
        for name, family, kind, address in (
            ("TCP", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("UDP", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("UNIX", socket.AF_UNIX, socket.SOCK_DGRAM, str(self._folder / "socket")),
            ("ABSTRACT", socket.AF_UNIX, socket.SOCK_DGRAM, f"\0{self.token}"),
        ):
            self._sockets[name] = socket.socket(family, kind)
            self._sockets[name].bind(address)
            self._sockets[name].setblocking(False)
        self._sockets["TCP"].listen()
        (self._folder / "socket").chmod(0o777)

    def _heard(self, name: str) -> bool:
        with suppress(BlockingIOError):
            if name == "TCP":
                self._sockets[name].accept()[0].close()
            else:
                self._sockets[name].recv(1)
            return True
        return False
