"""Measures evaluations on a Ray cluster of this machine; prints the tables of CLUSTER.md.

    python benchmarks/cluster.py round-trip | throughput | heavy-tailed | killed | saturation

Processor time is that of every process that takes part, Ray's own included; machines are shared, so time on the clock is given only
as a ratio to what would be ideal.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import synthetic

import evolve
from evolve.archive.store import Archive
from evolve.config import OrderName, RunConfig, with_limit
from evolve.evaluators.base import Score
from evolve.evaluators.sandbox import tree
from evolve.executors.base import Executor
from evolve.executors.cluster import RayExecutor, parse
from evolve.executors.local import LocalExecutor
from evolve.program import Limits, Task
from evolve.recording import create
from evolve.session import Parts, drive

HERE = parse("ray")
LIMITS = Limits(timeout_s=60.0, wall_timeout_s=120.0, memory_mb=32)
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
ROLES = {
    "controller": "benchmarks/cluster.py",
    "driver": "evolve.executors.cluster.driver",
    "Ray's control store": "gcs_server",
    "Ray's node": "raylet",
    "Ray workers": "ray::",
    "evaluators": "evolve.executors.worker",
}


def make_task(name: str = "cluster") -> Task:
    """A task whose evaluator waits as many seconds as the program's second file says, and asks the program once."""

    def evaluate(program):
        time.sleep(float(program.files["seconds.txt"]))
        return Score(program.call("f", 21))

    files = {"initial.py": "def f(x):\n    return 2 * x\n", "seconds.txt": "0"}
    return Task(name, files, limits=LIMITS, evaluate=evaluate, evaluator_sha256=name)


def program(seconds: float) -> dict[str, str]:
    """A program whose evaluation takes so long."""
    return {**make_task().files, "seconds.txt": repr(seconds)}


def cpu_by_role() -> Counter[str]:
    """Processor seconds so far, by what a process of this tree does; sandboxes count as ``programs``."""
    found: Counter[str] = Counter()
    for pid in (os.getpid(), *tree.usage_below(os.getpid()).pids):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        role = "controller" if pid == os.getpid() else next((name for name, mark in ROLES.items() if mark in title), "programs")
        # Own time and that of children that have ended: programs live for milliseconds.
        found[role] += sum(int(field) for field in fields[11:15]) * _TICK_S
    return found


async def evaluate_all(executor: Executor, seconds: list[float], at_once: int) -> float:
    """Evaluates programs, so many at once; returns the seconds that they took in their seats, as they were recorded."""
    waiting, taken = list(reversed(seconds)), []

    async def lane() -> None:
        while waiting:
            evaluated = await executor.evaluate(program(waiting.pop()), seed=0)
            assert evaluated.evaluation.objective == 42.0, evaluated.evaluation
            taken.append(evaluated.evaluation.wall_s)

    await asyncio.gather(*(lane() for _ in range(at_once)))
    return sum(taken)


async def cost(executor: Executor, count: int, at_once: int) -> tuple[Counter[str], float]:
    """Processor milliseconds of one evaluation by role, and milliseconds on the clock; median of five rounds."""
    async with executor:
        await evaluate_all(executor, [0.0] * 20, at_once)
        rounds = []
        for _ in range(5):
            before, began = cpu_by_role(), time.monotonic()
            await evaluate_all(executor, [0.0] * count, at_once)
            spent = cpu_by_role()
            spent.subtract(before)
            rounds.append(
                (Counter({role: 1000 * s / count for role, s in spent.items()}), 1000 * (time.monotonic() - began) / count)
            )
    return sorted(rounds, key=lambda item: item[0].total())[2]


def round_trip() -> None:
    """What an evaluation costs on a cluster beyond what it costs locally."""
    for at_once in (1, 4):
        local, local_ms = asyncio.run(cost(LocalExecutor(make_task(), at_once), 100, at_once))
        ray, ray_ms = asyncio.run(cost(RayExecutor(make_task(), HERE, at_once), 100, at_once))
        print(f"\n{at_once} at once, milliseconds of one evaluation\n\n| | local | Ray | more |\n|---|---|---|---|")
        for role in sorted({*local, *ray}, key=lambda role: -ray[role]):
            print(f"| {role} | {local[role]:.2f} | {ray[role]:.2f} | {ray[role] - local[role]:.2f} |")
        print(f"| processor time, all | {local.total():.2f} | {ray.total():.2f} | {ray.total() - local.total():.2f} |")
        print(f"| on the clock | {local_ms:.2f} | {ray_ms:.2f} | {ray_ms - local_ms:.2f} |")


def throughput() -> None:
    """Eight evaluations of 200 ms at once: share of the time that the eight seats evaluate, and that was asked for."""
    print("| | evaluating | 200 ms / what it took |\n|---|---|---|")
    for name, executor in (("local", LocalExecutor(make_task(), 8)), ("Ray", RayExecutor(make_task(), HERE, 8))):
        print(f"| {name} | {' | '.join(asyncio.run(_lanes(executor, 0.2, 8, 320)))} |")


async def _lanes(executor: Executor, seconds: float, seats: int, count: int) -> list[str]:
    async with executor:
        await evaluate_all(executor, [seconds] * seats * 4, executor.slots)
        shares, ratios = [], []
        for _ in range(5):
            began = time.monotonic()
            taken = await evaluate_all(executor, [seconds] * count, executor.slots)
            shares.append(taken / (seats * (time.monotonic() - began)))
            ratios.append(count * seconds / seats / (time.monotonic() - began))
    return [f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})" for found in (shares, ratios)]


def heavy_tailed() -> None:
    """64 logical workers, times of a log-normal distribution (median 2 s, one in twenty above 10 s): share of seats at work."""
    drawn = np.minimum(np.random.default_rng(0).lognormal(np.log(2.0), 1.0, 1500), 60.0)
    asyncio.run(_tailed([float(seconds) for seconds in drawn], 64))


async def _tailed(seconds: list[float], at_once: int) -> None:
    ended_at: dict[int, float] = {}
    async with RayExecutor(make_task(), HERE, at_once) as executor:
        # Until every seat is warm: 64 interpreters on this machine's processors.
        await evaluate_all(executor, [20.0] * at_once, at_once)
        waiting = list(reversed(list(enumerate(seconds))))

        async def lane() -> None:
            while waiting:
                index, asked = waiting.pop()
                await executor.evaluate(program(asked), seed=0)
                ended_at[index] = time.monotonic()

        cpu = cpu_by_role()
        start = time.monotonic()
        lanes = [asyncio.create_task(lane()) for _ in range(executor.slots)]
        while waiting:
            await asyncio.sleep(0.1)
        stop = time.monotonic()
        spent = cpu_by_role()
        spent.subtract(cpu)
        await asyncio.gather(*lanes)
    # What was asked for, less what was left to do when the last was handed out: what comes after that has no company.
    left = sum(min(seconds[index], max(0.0, end - stop)) for index, end in ended_at.items())
    done = sum(seconds) - left
    share = done / (at_once * (stop - start))
    print(f"{at_once} seats: {len(ended_at)} evaluations, {share:.3f} of ideal over {stop - start:.0f} s,")
    print(f"processors busy: {spent.total() / (stop - start):.2f} of {os.cpu_count()}")


def killed(steps: int = 10_000, every_s: float = 10.0) -> None:
    """A run of so many steps, with a Ray worker killed every so often."""
    over, kills = threading.Event(), 0

    def kill() -> None:
        nonlocal kills
        chance = random.Random(0)
        while not over.wait(every_s):
            titles = {pid: _title(pid) for pid in tree.usage_below(os.getpid()).pids}
            victims = [pid for pid, title in titles.items() if title.startswith("ray::_serve")] or [
                pid for pid, title in titles.items() if title.startswith("ray::IDLE")
            ]
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
                    kills += 1

    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder, "evolve.db")
        thread = threading.Thread(target=kill)
        thread.start()
        options = {"steps": steps, "workers": 4, "seed": 0, "settings": {"lag": 8}}
        began = time.monotonic()
        try:
            run = evolve.run("circle_packing", executor="ray", archive=where, **options)
        finally:
            over.set()
            thread.join()
        took = time.monotonic() - began
        shown, rows = run.summary(), _untimed(run)
        alone = _untimed(evolve.run("circle_packing", archive=Path(folder, "alone.db"), **options))
    numbers = [row["step"] for row in rows if row["step"] > 0]
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in shown["outcomes"].items())
    print(f"{kills} workers killed in {took:.0f} s: {len(numbers)} steps, {len(set(numbers))} different ones,")
    print(f"{shown['evaluated']} evaluated; outcomes: {outcomes};")
    differ = sum(before != after for before, after in zip(alone, rows, strict=True))
    print(f"rows that differ from those of the same run on this machine alone: {differ}")


def _untimed(run: evolve.Run) -> list[dict[str, object]]:
    """Rows of a run without what depends on the clock."""
    return [{key: value for key, value in row.items() if not key.endswith(("_s", "_at"))} for row in run.steps()]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def saturation(where: str = "") -> None:
    """How many evaluations a second each part could serve: those of the way to a cluster, and the controller with its archive."""
    spent, _ = asyncio.run(cost(RayExecutor(make_task(), HERE, 16), 400, 16))
    print("| part | ms of one evaluation | evaluations a second at most |\n|---|---|---|")
    for role in ("driver", "Ray's control store", "Ray's node"):
        print(f"| {role} | {spent[role]:.2f} | {1000 / max(spent[role], 1e-3):.0f} |")
    with tempfile.TemporaryDirectory() as folder:
        for name, place in (("SQLite", f"{folder}/evolve.db"), *([("the archive given", where)] if where else [])):
            for about, bare in (("", False), (", without embeddings and notes", True)):
                a_second, cpu_ms = _steps_a_second(place, bare=bare)
                print(f"| controller with {name}{about}, instant evaluations | {cpu_ms:.2f} | {a_second:.0f} (measured) |")


def _steps_a_second(where: str, *, bare: bool, steps: int = 1500) -> tuple[float, float]:
    """Steps a second on the clock, and processor milliseconds of each, of a run whose evaluations take no time."""
    task, config = synthetic.task(), RunConfig(steps=steps, order=OrderName.ASAP, workers=64)
    config = synthetic.bare(config) if bare else with_limit(task, config)
    watch = synthetic.Stopwatch()
    parts = Parts(executor=synthetic.InstantExecutor(64), arms={"local/instant": synthetic.InstantArm()})
    with Archive.open(where, create=True) as archive:
        number = create(archive, task, config, "")
        began = time.monotonic(), time.process_time()
        asyncio.run(drive(archive, number, task, config, watcher=watch, parts=parts))
        took, cpu = time.monotonic() - began[0], time.process_time() - began[1]
    return steps / took, 1000 * cpu / steps


if __name__ == "__main__":
    measures = {
        "round-trip": round_trip,
        "throughput": throughput,
        "heavy-tailed": heavy_tailed,
        "killed": killed,
        "saturation": saturation,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=measures)
    parser.add_argument("--archive", default="", help="of a database server, which saturation measures beside a file")
    given = parser.parse_args()
    saturation(given.archive) if given.measure == "saturation" else measures[given.measure]()
