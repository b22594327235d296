"""Interleaves hostile evaluations with honest ones and looks for anything that the hostile ones change or leave behind.

Usage: python benchmarks/hostile.py [--count N] [--isolation LEVEL] [--kills N] [--workers N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evolve.evaluators.base import Invalid, IsolatedProgram, Score
from evolve.evaluators.sandbox import strongest_level, tree
from evolve.executors.local import LocalExecutor
from evolve.program import Evaluation, Files, Isolation, Limits, Outcome, Task
from evolve.testing.hostile.canaries import Canaries
from evolve.testing.hostile.programs import PROGRAMS
from evolve.testing.hostile.wrapping import wrapped

LIMITS = Limits(timeout_s=0.2, wall_timeout_s=0.5, memory_mb=128, scratch_mb=8)
INITIAL = """import numpy as np

def answer(size):
    matrix = np.random.rand(size, size)
    return np.linalg.svd(matrix, compute_uv=False)
"""
INITIAL_FILES: Files = {"initial.py": INITIAL}
#: Seeds that honest evaluations take turns with.
SEEDS = 7
#: None of them is run at a level at which it would harm the machine.
MIX = (
    *("infinite loop", "sleeping", "fork bomb", "thread bomb", "memory of one process", "memory of many processes"),
    *("disk filler", "descriptors", "exit", "abort", "daemon", "runner in circles", "threads after the answer"),
    *("traps for the sweeper", "cache in its folder", "forged frames", "pickle", "NaN", "gigantic answer", "patched numpy"),
    *("archive", "UDP", "generators", "closed descriptors"),
)
_LOOP = """def answer(size):
    while True:
        pass
"""
_TREE = """import os, time

def answer(size):
    for _ in range(6):
        if os.fork() == 0:
            break
    time.sleep(3600)
"""


class Row(NamedTuple):
    """One figure beside its budget."""

    what: str
    figure: str
    budget: str


class Machine(NamedTuple):
    """What can be counted before and after."""

    mounts: int
    groups: frozenset[str]
    processes: int
    temporary: int


def evaluate(program: IsolatedProgram) -> Score:
    """Scores a program by the largest singular value that it finds."""
    values = np.asarray(program.call("answer", 24))
    if values.shape != (24,) or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise Invalid(f"24 finite numbers are expected, got shape {values.shape} of type {values.dtype}")
    return Score(float(values.max()))


def look(folder: str, canaries: Canaries) -> Machine:
    """Counts what hostile programs could leave."""
    groups = frozenset(str(path) for path in Path("/sys/fs/cgroup").rglob("evolve-*"))
    processes = len(tree.usage_below(os.getpid()).pids) + len(canaries.processes())
    return Machine(len(Path("/proc/self/mounts").read_text().splitlines()), groups, processes, len(os.listdir(folder)))


def rss_mb() -> float:
    """Resident memory of this process, the controller."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def make_task(source: str = INITIAL) -> Task:
    """Makes the task that everything is evaluated in."""
    return Task("hostile", {"initial.py": source}, limits=LIMITS, evaluate=evaluate, evaluator_sha256="0" * 64)


async def interleaved(
    count: int, executor: LocalExecutor, hostile: list[Files], memory_mb: list[float]
) -> list[list[tuple[int, Evaluation]]]:
    """Runs as many hostile as honest evaluations, all slots busy; returns those of each kind with their seeds."""
    found: list[list[tuple[int, Evaluation]]] = [[], []]
    waiting = iter([(kind, number) for number in range(count) for kind in (0, 1)])

    async def slot() -> None:
        for kind, number in waiting:
            files = hostile[number % len(hostile)] if kind == 0 else INITIAL_FILES
            seed = number % SEEDS
            found[kind].append((seed, (await executor.evaluate(files, seed=seed)).evaluation))
            if kind == 1 and (number + 1) % max(count // 4, 1) == 0:
                memory_mb.append(rss_mb())

    await asyncio.gather(*(slot() for _ in range(executor.slots)))
    return found


async def endure(count: int, isolation: Isolation, workers: int) -> list[Row]:
    """Measures what hostile evaluations change."""
    with tempfile.TemporaryDirectory(prefix="evolve-hostile-") as folder, Canaries() as canaries:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        hostile = mix(canaries, isolation)
        async with LocalExecutor(make_task(), isolation=isolation) as executor:
            alone = [(await executor.evaluate(INITIAL_FILES, seed=seed)).evaluation.objective for seed in range(SEEDS)]
        before, memory_mb = look(folder, canaries), [rss_mb()]
        started = time.monotonic()
        async with LocalExecutor(make_task(), workers=workers, isolation=isolation) as executor:
            attacks, honest = await interleaved(count, executor, hostile, memory_mb)
        took_s = time.monotonic() - started
        after, signs = look(folder, canaries), canaries.signs(" ".join(one.feedback for _, one in attacks))
    wrong = [seed for seed, one in honest if one.objective != alone[seed]]
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in Counter(one.outcome for _, one in attacks).most_common())
    gains = sum((one.objective or 0.0) > (alone[seed] or 0.0) for seed, one in attacks)
    new_groups = after.groups - before.groups
    return [
        Row("hostile and honest evaluations", f"{count} + {count} in {took_s:.0f} s, {workers} workers, level {isolation}", "–"),
        Row("honest scores that differ from the score alone", f"{len(wrong)} of {len(honest)}", "0"),
        Row("hostile evaluations", outcomes, f"0 {Outcome.EVALUATOR_FAILED}"),
        Row("hostile scores above the honest one", str(gains), "0"),
        Row("seen of ours that was read, changed, contacted or harmed", str({**signs}) if signs else "nothing", "nothing"),
        Row("processes left (before, after)", f"{before.processes}, {after.processes}", "equal"),
        Row("temporary folders left (before, after)", f"{before.temporary}, {after.temporary}", "equal"),
        Row("mounts of the machine (before, after)", f"{before.mounts}, {after.mounts}", "equal"),
        Row("control groups left by workers that are gone", str(len(list(orphans(new_groups)))), "0"),
        Row("controller's memory at each quarter, MB", ", ".join(f"{one:.1f}" for one in memory_mb), "grows by < 5"),
    ]


def mix(canaries: Canaries, isolation: Isolation) -> list[Files]:
    """Makes the hostile programs."""
    chosen = [program for program in PROGRAMS if program.name in MIX and isolation.rank >= program.least.rank]
    facts = canaries.facts() | {"EVALUATOR": __file__}
    return [wrapped(INITIAL_FILES, program.source, facts) for program in chosen]


def orphans(groups: frozenset[str]) -> Iterator[str]:
    """Finds control groups whose maker is gone; those of other runs of this machine are none of ours."""
    for path in groups:
        if Path(path).is_dir() and not Path("/proc", Path(path).name.split("-")[1]).exists():
            yield path


class Watch(threading.Thread):
    """Samples a process tree every two milliseconds: when it appeared, passed its CPU limit, and was gone."""

    def __init__(self, known: frozenset[int]) -> None:
        super().__init__(daemon=True)
        self.known = known
        self.seen_at: float | None = None
        self.cpu_limit_at: float | None = None
        self.gone_at = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            usage = tree.usage_below(os.getpid())
            now = time.monotonic()
            new = set(usage.pids) - self.known
            if new:
                self.seen_at, self.gone_at = self.seen_at or now, 0.0
            elif not self.gone_at:
                self.gone_at = now
            if self.cpu_limit_at is None and sum(map(tree.own_cpu_s, new)) >= LIMITS.timeout_s:
                self.cpu_limit_at = now
            time.sleep(0.002)


async def latencies(source: str, count: int, isolation: Isolation) -> list[float]:
    """Milliseconds from the deadline, CPU or else wall clock, until the whole tree is gone, of so many evaluations."""
    found = []
    async with LocalExecutor(make_task(source), isolation=isolation) as executor:
        await executor.evaluate(INITIAL_FILES, seed=0)
        known = frozenset(tree.usage_below(os.getpid()).pids)
        for _ in range(count):
            watch = Watch(known)
            watch.start()
            await executor.evaluate({"initial.py": source}, seed=0)
            ended = time.monotonic()
            watch.over.set()
            watch.join()
            # The wall clock runs from a moment after the process exists: an upper bound, but for the sampling.
            deadline = watch.cpu_limit_at or (watch.seen_at or ended) + LIMITS.wall_s
            found.append(1000 * ((watch.gone_at or ended) - deadline))
    return found


def kill_rows(count: int, isolation: Isolation) -> Iterator[Row]:
    """Measures how long after its deadline a program is gone."""
    for what, source in (("one process after its CPU limit", _LOOP), ("seven sleeping processes after their wall limit", _TREE)):
        found = sorted(asyncio.run(latencies(source, count, isolation)))
        p99 = found[min(int(0.99 * len(found)), len(found) - 1)]
        yield Row(f"{what}: gone after, ms (p50, p99 of {count})", f"{statistics.median(found):.0f}, {p99:.0f}", "p99 <= 100")


def main() -> None:
    """Runs the measurements and prints a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="hostile evaluations, and as many honest ones")
    parser.add_argument("--isolation", type=Isolation, choices=list(Isolation), help="the strongest by default")
    parser.add_argument("--kills", type=int, default=100, help="programs killed at each deadline")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    isolation = arguments.isolation or strongest_level()
    rows = asyncio.run(endure(arguments.count, isolation, arguments.workers))
    for row in rows:
        print(f"{row.what}: {row.figure} (budget {row.budget})", flush=True)
    for row in kill_rows(arguments.kills, isolation):
        print(f"{row.what}: {row.figure} (budget {row.budget})", flush=True)


if __name__ == "__main__":
    main()
