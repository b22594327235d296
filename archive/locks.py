"""Tells whether the process that holds a run's writer lock still lives.

On the holder's own machine that is certain: a process is known by its number and the moment it started, counted from a
particular boot, so neither a recycled number nor a reboot deceives. From another machine the only sign of life is the
heartbeat.
"""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: A writer elsewhere that has been silent for so long counts as dead; the loop's heartbeat comes every 10 s.
SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that may hold a lock.

    Attributes:
        host: Name of its machine.
        place: Which machine and which process numbering: numbers compare only within one.
        pid: Its number there.
        process: When it started; with ``pid`` unlike any other process, before or after a reboot.
    """

    host: str
    place: str
    pid: int
    process: str


def this_process() -> Holder:
    """Describes the process that asks."""
    return Holder(socket.gethostname(), _place(), os.getpid(), process_start(os.getpid()) or "")


def alive(holder: Holder, silent_s: float) -> bool:
    """Says whether a lock's holder lives.

    Args:
        holder: Who took the lock.
        silent_s: Seconds since its last heartbeat.
    """
    if (holder.host, holder.place) == (socket.gethostname(), _place()):
        started = process_start(holder.pid)
        if started is None:
            return False
        if started and holder.process:
            return started == holder.process
    return silent_s <= SILENCE_S


def process_start(pid: int) -> str | None:
    """Says when a process of this machine started, in words that no other process with its number repeats.

    Returns:
        None when there is no such process; empty when there is one and its start cannot be read.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # somebody else's process, and alive
    stat = _read(f"/proc/{pid}/stat")
    if not stat:
        return "" if Path("/proc/self").exists() else _started_by_ps(pid)
    # The command's name, in parentheses, may hold anything; the state follows it and the start is field 22 of proc(5).
    fields = stat.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return f"{_read('/proc/sys/kernel/random/boot_id')}/{fields[19]}"


def _started_by_ps(pid: int) -> str:
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _place() -> str:
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbering = ""
    return f"{_read('/etc/machine-id')} {numbering}".strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
