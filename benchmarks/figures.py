"""What every measurement needs: its row of the table, and how CPU time and memory are read."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One figure beside its budget."""

    what: str
    figure: str
    budget: str


def ratio(costs: Sequence[float], to: Sequence[float]) -> str:
    """Compares what was measured in turn: the median of the turns' ratios, and their range.

    Args:
        costs: One for each turn.
        to: What each is divided by, of the same turn.
    """
    ratios = sorted(cost / other for cost, other in zip(costs, to, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def child_cpu_s(command: list[str]) -> float:
    """CPU seconds of one command, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_mb() -> float:
    """This process's largest resident memory so far, in MB."""
    # Not ru_maxrss: a child inherits its parent's until it executes something else, and keeps it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def machine() -> str:
    """Describes this machine in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown model")
    processors = len(os.sched_getaffinity(0))
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{processors} processors ({model}), {system}"
