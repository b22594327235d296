"""A control group around a fork server, where this process may make one: the kernel's own limit on a whole tree's memory.

It counts what polling cannot see, such as files in memory and pages between two polls, and it ends a process instead of
the machine. Where no group can be made (an ordinary user without a delegated one, a container that shows them read-only),
the tree is measured and ended by whoever waits for it.

Sources: Linux, ``Documentation/admin-guide/cgroup-v2.rst`` and ``cgroup-v1/memory.rst``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

_PREFIX = "evolve-"
#: What the server itself, page tables and buffers may take on top of the programs.
_SLACK_MB = 64


class _Files(NamedTuple):
    """What a version of control groups calls its files: the limit, swap's limit, and where kills are counted."""

    limit: str
    swap: str
    events: str


_V1 = _Files("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control")
_V2 = _Files("memory.max", "memory.swap.max", "memory.events")


class MemoryGroup:
    """A control group of our own, with a limit on memory."""

    def __init__(self, path: Path, files: _Files) -> None:
        """Takes over what `make` made; use that."""
        self._path = path
        self._files = files

    @classmethod
    def make(cls, memory_mb: int) -> Self | None:
        """Makes a group below the one that this process is in; None where that is not possible.

        Args:
            memory_mb: What the processes in it may use together, files in memory included.
        """
        for parent, files in _parents():
            _remove_stale(parent)
            path = parent / f"{_PREFIX}{os.getpid()}-{_unused(parent)}"
            try:
                path.mkdir()
            except OSError:
                continue
            group = cls(path, files)
            if group.limit(memory_mb):
                return group
            group.remove()
        return None

    def limit(self, memory_mb: int) -> bool:
        """Sets what the processes in it may use together, files in memory included. Returns whether that was allowed."""
        limit = str((memory_mb + _SLACK_MB) * 2**20)
        swap = "0" if self._files is _V2 else limit
        done = False
        # Version 1 wants the one that is to be larger set first, which is either; a kernel need not count swap at all.
        for name, value in ((self._files.swap, swap), (self._files.limit, limit), (self._files.swap, swap)):
            with suppress(OSError):
                (self._path / name).write_text(value)
                done = done or name == self._files.limit
        return done

    def take(self, pid: int) -> bool:
        """Moves a process in; its future children follow. Returns whether that was allowed."""
        try:
            (self._path / "cgroup.procs").write_text(str(pid))
        except OSError:
            return False
        return True

    def kills(self) -> int:
        """How many processes the kernel has ended for the limit."""
        with suppress(OSError):
            for line in (self._path / self._files.events).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def remove(self) -> None:
        """Removes the group, which must be empty by then."""
        with suppress(OSError):
            self._path.rmdir()


def _parents() -> Iterator[tuple[Path, _Files]]:
    """Groups below which this process may be allowed to make another that counts memory."""
    mounts = _mounts()
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers == "" and "" in mounts:
                own = mounts[""] / name.lstrip("/")
                # A group of version 2 that holds processes cannot divide its memory; its parent may.
                yield from ((path, _V2) for path in (own, own.parent) if _divides_memory(path))
            elif "memory" in controllers.split(",") and "memory" in mounts:
                yield mounts["memory"] / name.lstrip("/"), _V1


def _divides_memory(path: Path) -> bool:
    try:
        return "memory" in (path / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


def _mounts() -> dict[str, Path]:
    """Where the hierarchies are mounted: version 1's for memory under its name, version 2 under the empty one."""
    found = {}
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, where, kind, options, *_ = line.split()
            if kind == "cgroup2":
                found[""] = Path(where)
            elif kind == "cgroup" and "memory" in options.split(","):
                found["memory"] = Path(where)
    return found


def _remove_stale(parent: Path) -> None:
    """Removes empty groups of processes that were killed before they could."""
    with suppress(OSError):
        for path in parent.glob(f"{_PREFIX}*"):
            if not Path("/proc", path.name.removeprefix(_PREFIX).partition("-")[0]).exists():
                MemoryGroup(path, _V2).remove()


def _unused(parent: Path) -> int:
    number = 0
    while (parent / f"{_PREFIX}{os.getpid()}-{number}").exists():
        number += 1
    return number
