"""What a process and everything below it use, read from ``/proc`` by somebody outside."""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """One look at a process tree.

    Attributes:
        pids: Its processes, zombies included.
        cpu_s: CPU seconds of all, and of those that they have waited for.
        rss_bytes: Sum of resident memory; pages that several share are counted several times.
        threads: Processes and threads alive.
    """

    pids: tuple[int, ...]
    cpu_s: float
    rss_bytes: int
    threads: int


def usage_below(root: int) -> Usage:
    """Measures all descendants of a process, itself left out. One that vanishes meanwhile counts as nothing."""
    pids, cpu_s, rss_bytes, threads = [], 0.0, 0, 0
    waiting = children_of(root)
    while waiting:
        pid = waiting.pop()
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            continue
        # The command's name may hold blanks and parentheses; what follows the last one does not.
        fields = stat.rpartition(b")")[2].split()
        pids.append(pid)
        if fields[0] in b"ZX" and int(fields[17]) > 1:
            # A process whose first thread has ended tells of nothing but that; the others tell what they use.
            fields = _of_living_thread(pid) or fields
        cpu_s += own_cpu_s(pid, (int(fields[11]) + int(fields[12])) / _TICKS_PER_S)
        cpu_s += (int(fields[13]) + int(fields[14])) / _TICKS_PER_S
        rss_bytes += int(fields[21]) * _PAGE_BYTES
        threads += int(fields[17]) if fields[0] not in b"ZX" else 0
        waiting.extend(children_of(pid))
    return Usage(tuple(pids), cpu_s, rss_bytes, threads)


def _of_living_thread(pid: int) -> list[bytes] | None:
    """Reads the state of a process from one of its threads that has not ended."""
    thread = _living_thread(pid)
    try:
        return Path(f"/proc/{thread}/stat").read_bytes().rpartition(b")")[2].split() if thread else None
    except OSError:
        return None


def _living_thread(pid: int) -> int:
    """Names the thread whose files tell of a whole process; 0 if all have ended."""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                if Path(f"/proc/{pid}/task/{thread}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX":
                    return int(thread)
    return 0


def own_cpu_s(pid: int, otherwise: float = 0.0) -> float:
    """CPU seconds of a process with all its threads, to the nanosecond; ``otherwise`` for one that is gone.

    Source: the kernel's dynamic clock ids, ``include/linux/posix-timers.h``: ``~pid << 3 | CPUCLOCK_SCHED``.
    """
    if pid <= 0:
        return otherwise
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return otherwise


def proportional_bytes(pids: tuple[int, ...], until: float = math.inf) -> int:
    """Resident memory of some processes with shared pages divided among all that share them (PSS), in bytes.

    Slow (the kernel walks all pages, and waits for a process that changes its mappings), but it does not count the warm
    interpreter's memory once per process.

    Args:
        pids: The processes.
        until: When to stop and return what was found so far, by the monotonic clock.
    """
    total = 0
    for pid in pids:
        if time.monotonic() > until:
            break
        with suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{_living_thread(pid) or pid}/smaps_rollup").read_bytes().splitlines():
                if line.startswith(b"Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def children_of(pid: int) -> list[int]:
    """Process ids of the children of all threads of a process, zombies included."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            found += [int(child) for child in Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split()]
        except FileNotFoundError:
            if Path(f"/proc/{pid}/task/{thread}").exists():  # a kernel without CONFIG_PROC_CHILDREN
                return _children_by_parent(pid)
        except OSError:
            continue
    return found


def _children_by_parent(pid: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, IndexError):
                if int(Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()[1]) == pid:
                    found.append(int(name))
    return found


def processes_of_user() -> int:
    """Processes and threads of this user now."""
    count = 0
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and Path(f"/proc/{name}").stat().st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


def session_of(pid: int) -> int:
    """The session that a process belongs to; 0 for one that is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def out_of_memory_kills(counter: Path = Path("/proc/vmstat")) -> int:
    """How often the kernel has killed a process for want of memory, on this machine or in a control group; 0 where it is silent.

    Args:
        counter: The file that says so; the machine's, unless it is a group's.
    """
    with suppress(OSError):
        for line in counter.read_bytes().splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
    return 0
