"""Which sandbox levels this machine offers."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from evolve.errors import IsolationError
from evolve.evaluators.sandbox import landlock, probe
from evolve.program import Isolation

#: Landlock versions that added something to what a program cannot do.
_NETWORK_ABI, _SIGNALS_ABI = 4, 6


@dataclass(frozen=True, slots=True)
class LevelReport:
    """Whether a level is to be had, as `evolve doctor` shows it.

    Attributes:
        level: The level.
        available: Whether programs can run at it here.
        detail: What it covers on this machine; if it is not available, why and what to do.
    """

    level: Isolation
    available: bool
    detail: str


def available_levels() -> list[LevelReport]:
    """Looks at this machine, weakest level first."""
    return [_process(), _landlock(), _strong()]


def strongest_level() -> Isolation:
    """Names the strongest level that is available.

    Raises:
        IsolationError: If there is none.
    """
    reports = available_levels()
    available = [report.level for report in reports if report.available]
    if not available:
        raise IsolationError(f"programs cannot be run on this machine: {reports[0].detail}")
    return available[-1]


def require_level(level: Isolation) -> None:
    """Makes sure that a level is available.

    Raises:
        IsolationError: If not, with the reason, the remedy and the levels that are.
    """
    reports = {report.level: report for report in available_levels()}
    if not reports[level].available:
        others = ", ".join(report.level for report in reports.values() if report.available) or "none"
        raise IsolationError(f"isolation level {level} is not available: {reports[level].detail} (available: {others})")


def _process() -> LevelReport:
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        return LevelReport(Isolation.PROCESS, False, f"it needs Linux 5.3 or later, this is {sys.platform}; use a Linux machine")
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return LevelReport(Isolation.PROCESS, False, f"pidfd_open fails ({error.strerror}); it needs Linux 5.3 or later")
    return LevelReport(Isolation.PROCESS, True, "separate process, resource limits, deadlines; files and network stay open")


def _landlock() -> LevelReport:
    if not _process().available:
        return LevelReport(Isolation.LANDLOCK, False, _process().detail)
    try:
        version = landlock.abi()
    except OSError as error:
        return LevelReport(Isolation.LANDLOCK, False, probe.why_no_landlock(error))
    covered = ["files"]
    if version >= _NETWORK_ABI:
        covered.append("TCP")
    if version >= _SIGNALS_ABI:
        covered.append("signals and abstract unix sockets")
    missing = "" if version >= _SIGNALS_ABI else "; a newer kernel (6.12) would cover TCP and signals as well"
    return LevelReport(Isolation.LANDLOCK, True, f"Landlock version {version}: {', '.join(covered)}{missing}")


def _strong() -> LevelReport:
    lacks = probe.what_strong_lacks()
    if lacks:
        return LevelReport(Isolation.STRONG, False, lacks)
    who = "a user of its own for each worker" if os.geteuid() == 0 else "user namespace"
    detail = f"bubblewrap: process-id, mount, network, IPC and host name namespaces, {who}; Landlock, seccomp, private files"
    return LevelReport(Isolation.STRONG, True, detail)
