"""A control group around a fork server, where this process may make one: the kernel's own account of a whole tree.

It counts what polling cannot see, such as files in memory, pages between two polls and processes that were reaped by
nobody, and it ends a process instead of the machine. Where no group can be made (an ordinary user without a delegated
one, a container that shows them read-only), the tree is measured and ended by whoever waits for it.

Sources: Linux, ``Documentation/admin-guide/cgroup-v2.rst`` and ``cgroup-v1/memory.rst``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from evolve.evaluators.sandbox import tree

_PREFIX = "evolve-"
#: What the server itself, page tables and buffers may take on top of the programs.
_SLACK_MB = 64
_REMOVALS = 20


class _Files(NamedTuple):
    """What a version of control groups calls its files: the limit, swap's limit, and where kills are counted."""

    limit: str
    swap: str
    events: str


_V1 = _Files("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control")
_V2 = _Files("memory.max", "memory.swap.max", "memory.events")


class MemoryGroup:
    """A control group of our own, with a limit on memory; it counts CPU time as well, where that can be had."""

    def __init__(self, path: Path, files: _Files, clock: Path | None = None) -> None:
        """Takes over what `make` made; use that.

        Args:
            path: The group that limits memory.
            files: What its files are called.
            clock: The group that counts CPU time; None for none.
        """
        self._path = path
        self._files = files
        self._clock = clock
        self._limited_to_mb = 0

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
            group = cls(path, files, path if files is _V2 else _clock_group(path.name))
            if group.limit(memory_mb):
                return group
            group.remove()
        return None

    def limit(self, memory_mb: int) -> bool:
        """Sets what the processes in it may use together, files in memory included. Returns whether that was allowed."""
        if memory_mb == self._limited_to_mb:
            return True  # as it is for one program after the other
        limit = str((memory_mb + _SLACK_MB) * 2**20)
        swap = "0" if self._files is _V2 else limit
        done = False
        # Version 1 wants the one that is to be larger set first, which is either; a kernel need not count swap at all.
        for name, value in ((self._files.swap, swap), (self._files.limit, limit), (self._files.swap, swap)):
            with suppress(OSError):
                (self._path / name).write_text(value)
                done = done or name == self._files.limit
        self._limited_to_mb = memory_mb if done else 0
        return done

    def take(self, pid: int) -> bool:
        """Moves a process in; its future children follow. Returns whether that was allowed."""
        try:
            for path in self._paths():
                (path / "cgroup.procs").write_text(str(pid))
        except OSError:
            return False
        return True

    def release(self, pid: int) -> None:
        """Moves a process back to where the group was made."""
        with suppress(OSError):
            for path in self._paths():
                (path.parent / "cgroup.procs").write_text(str(pid))

    def cpu_s(self) -> float | None:
        """CPU seconds of everything that was ever in the group; None where that is not counted."""
        if self._clock is None:
            return None
        try:
            if self._files is _V1:
                return int((self._clock / "cpuacct.usage").read_text()) / 1e9
            words = (self._clock / "cpu.stat").read_text().split()
            return int(words[words.index("usage_usec") + 1]) / 1e6
        except (OSError, ValueError):
            return None

    def kills(self) -> int:
        """How many processes the kernel has ended for the limit."""
        return tree.out_of_memory_kills(self._path / self._files.events)

    def remove(self) -> None:
        """Removes the group, which must be empty by then, or in a moment."""
        for path in self._paths():
            for _ in range(_REMOVALS):
                try:
                    path.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.005)  # the last process is on its way
                    continue
                break

    def _paths(self) -> list[Path]:
        return list(dict.fromkeys([self._path, *([self._clock] if self._clock is not None else [])]))


def _clock_group(name: str) -> Path | None:
    """Makes a group that counts CPU time, for version 1, where that is another hierarchy; None if it cannot be made."""
    parent = _own_groups().get("cpuacct")
    if parent is None:
        return None
    _remove_stale(parent)
    try:
        (parent / name).mkdir()
    except OSError:
        return None
    return parent / name


def _parents() -> Iterator[tuple[Path, _Files]]:
    """Groups below which this process may be allowed to make another that counts memory."""
    for controller, own in _own_groups().items():
        if controller == "":
            # A group of version 2 that holds processes cannot divide its memory; its parent may.
            yield from ((path, _V2) for path in (own, own.parent) if _divides_memory(path))
        elif controller == "memory":
            yield own, _V1


def _own_groups() -> dict[str, Path]:
    """The groups that this process is in: version 1's under the names of what they count, version 2's under the empty one."""
    mounts, found = _mounts(), {}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            found.update({each: mounts[each] / name.lstrip("/") for each in controllers.split(",") if each in mounts})
    return found


def _divides_memory(path: Path) -> bool:
    try:
        return "memory" in (path / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


def _mounts() -> dict[str, Path]:
    """Where the hierarchies are mounted: version 1's under the names of what they count, version 2 under the empty one."""
    found = {}
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, where, kind, options, *_ = line.split()
            if kind == "cgroup2":
                found[""] = Path(where)
            elif kind == "cgroup":
                found.update({name: Path(where) for name in ("memory", "cpuacct") if name in options.split(",")})
    return found


def _remove_stale(parent: Path) -> None:
    """Removes empty groups of processes that were killed before they could."""
    with suppress(OSError):
        for path in parent.glob(f"{_PREFIX}*"):
            owner = path.name.removeprefix(_PREFIX).partition("-")[0]
            if owner == str(os.getpid()) or not Path("/proc", owner).exists():
                with suppress(OSError):  # one that is in use
                    path.rmdir()


def _unused(parent: Path) -> int:
    number = 0
    while (parent / f"{_PREFIX}{os.getpid()}-{number}").exists():
        number += 1
    return number
