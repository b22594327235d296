"""What a coding agent may touch: its working copy and its own state; the rest of the machine it may read, but for some.

With bubblewrap it has a process table, a ``/tmp`` and shared memory of its own, and ends whole. Where bubblewrap does not
work, Landlock rules keep it from writing, and processes that left its group may outlive it.

Not covered: the network stays, because the agent needs it, and so does everything that it can reach there; what it writes
to its own state outlives the call and is read by the next, also when a user runs it by hand; under Landlock, sockets in the
file system.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from evolve.evaluators.sandbox import bubblewrap, landlock

#: Keys to other things than the agent's provider.
_KEYS = (".ssh", ".aws", ".gnupg", ".kube", ".docker", ".netrc", ".git-credentials", ".pypirc", ".npmrc", ".config/gcloud")
#: Ways to have something done outside: container engines, the session's services.
_SOCKETS = ("/run/docker.sock", "/run/containerd", "/run/podman", "/run/dbus", "/run/user")
_TEMPORARY = Path("/tmp")
_PROBE_TIMEOUT_S = 30.0


class Level(StrEnum):
    """How far an agent is shut in."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Walls:
    """What an agent may touch.

    Attributes:
        folder: What it may change: its working copy lies in it.
        start: The working copy, where it starts.
        program: Path of its executable.
        writable: More files and folders that it may write; missing ones are skipped.
        hidden: Files and folders that it may not even read; with a file goes what lies beside it under a longer name.
        home: The home folder, whose keys to other things are hidden unless they are writable.
    """

    folder: Path
    start: Path
    program: Path
    writable: tuple[Path, ...]
    hidden: tuple[Path, ...]
    home: Path

    def covered(self) -> list[Path]:
        """Lists what exists and is hidden."""
        keys = [self.home / name for name in _KEYS if self.home / name not in self.writable]
        named = {path.resolve() for path in (*self.hidden, *keys, *map(Path, _SOCKETS)) if path.exists()}
        # A database is more files than one.
        beside = {other for path in named if path.is_file() for other in path.parent.glob(f"{path.name}-*")}
        return sorted(path for path in named | beside if not any(parent in named for parent in path.parents))


def shut_in(level: Level, walls: Walls, argv: Sequence[str]) -> list[str]:
    """Builds the command that runs ``argv`` behind walls."""
    if level is Level.BUBBLEWRAP:
        return [str(bubblewrap.executable()), *_namespaces(), *_file_system(walls), "--chdir", str(walls.start), "--", *argv]
    if level is Level.LANDLOCK:
        rules = {"write": [str(walls.folder), *map(str, walls.writable)], "hidden": [str(path) for path in walls.covered()]}
        return [sys.executable, "-P", "-m", "evolve.llm.agent_landlock", json.dumps(rules), *argv]
    return list(argv)


@cache
def strongest() -> tuple[Level, str]:
    """Tries out, once per process, how far agents can be shut in, and why no further."""
    lacking = _what_bubblewrap_lacks()
    if not lacking:
        return Level.BUBBLEWRAP, ""
    try:
        landlock.abi()
    except OSError as error:
        return Level.NONE, f"{lacking}; {error.strerror}"
    return Level.LANDLOCK, lacking


def _what_bubblewrap_lacks() -> str:
    bwrap = bubblewrap.executable()
    if bwrap is None:
        return "bubblewrap is not installed; install it, on Debian or Ubuntu with: apt-get install bubblewrap"
    command = [bwrap, *_namespaces(), "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--", "true"]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap cannot be run: {error}"
    return f"bubblewrap does not work here: {ran.stderr.decode(errors='replace').strip()}" if ran.returncode else ""


def _namespaces() -> Iterator[str]:
    yield from ("--unshare-pid", "--unshare-ipc", "--die-with-parent", "--new-session")
    # Root could mount everything writable again.
    yield from ("--cap-drop", "ALL")


def _file_system(walls: Walls) -> Iterator[str]:
    yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", str(_TEMPORARY))
    for path in (walls.home, walls.program.parent, walls.program.resolve().parent):
        # What the agent itself is made of stays, should it lie in the folder that becomes its own.
        if path.is_relative_to(_TEMPORARY) and path != _TEMPORARY:
            yield from ("--ro-bind-try", str(path), str(path))
    for path in walls.writable:
        yield from ("--bind-try", str(path), str(path))
    for path in walls.covered():
        if path.is_dir():
            yield from ("--tmpfs", str(path), "--remount-ro", str(path))
        else:
            yield from ("--ro-bind", os.devnull, str(path))
    yield from ("--bind", str(walls.folder), str(walls.folder))
