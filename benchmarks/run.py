"""Measures what the README claims and writes the table of RESULTS.md; what stands below the marker there is kept.

Usage: python benchmarks/run.py [--only NAME]...
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import synthetic
from figures import Row, child_cpu_s, machine, peak_mb, ratio
from models import models

import evolve
from evolve.config import RunConfig, with_limit
from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.cgroup import MemoryGroup
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.executors.local import LocalExecutor
from evolve.program import Isolation, Limits
from evolve.session import Parts, drive

RESULTS = Path(__file__).parent / "RESULTS.md"
MARKER = "<!-- Written by run.py up to here. What stands below is written by hand and kept. -->"


def start_up() -> Iterator[Row]:
    """CPU seconds of importing the package and of showing help."""
    evolve_command = str(Path(sys.executable).parent / "evolve")
    for what, command, budget in (
        ("`import evolve`, CPU s (median of 9)", [sys.executable, "-c", "import evolve"], "0.15"),
        ("`evolve --help`, CPU s (median of 9)", [evolve_command, "--help"], "0.35"),
        ("for comparison: `import numpy`, CPU s", [sys.executable, "-c", "import numpy"], "–"),
    ):
        child_cpu_s(command)
        yield Row(what, f"{statistics.median(child_cpu_s(command) for _ in range(9)):.3f}", budget)


class Case(NamedTuple):
    """What the controller's steps are measured behind: programs in the archive, and whether a run does all that a user's does."""

    size: int
    whole: bool


_CASES = [Case(size, whole) for size in (0, 10_000, 100_000) for whole in (True, False)]


def controller() -> Iterator[Row]:
    """CPU milliseconds per step with an instant arm and executor, behind archives of several sizes.

    As the command line makes a run, with novelty by a calibrated distance and counted notes, and without embeddings and notes.
    """
    costs: dict[Case, list[float]] = {case: [] for case in _CASES}
    with tempfile.TemporaryDirectory() as folder:
        places = {case: Path(folder) / f"{case.size}-{'whole' if case.whole else 'bare'}.db" for case in _CASES}
        for case in _CASES:
            if case.whole:
                with evolve.Archive.open(places[case], create=True) as archive:
                    synthetic.fill(archive, case.size)
            else:
                shutil.copy(places[case._replace(whole=True)], places[case])
        # In turn, several times: a neighbour's load meets all cases alike. The first round fills the smallest archives to 200.
        for round_ in range(6):
            for case in _CASES:
                cost = _steps_cost(places[case], case, case.size + 200 * round_)
                costs[case] += [cost] if round_ else []
    for case in _CASES:
        yield _controller_row(case, costs)


def _controller_row(case: Case, costs: Mapping[Case, Sequence[float]]) -> Row:
    """Says what a step costs, and its ratio to the cost at 200, or of the bare one to the whole one at its size."""
    cost_ms = f"{statistics.median(costs[case]) * 1e3:.2f}"
    if not case.whole:
        of_whole = ratio(costs[case], costs[case._replace(whole=True)])
        return Row("  the same without embeddings and notes", f"{cost_ms}, {of_whole} x the cost with them", "–")
    name = f"{case.size:,} programs" if case.size else "200 programs"
    what = f"controller, CPU ms per step at {name} (median of 5 times 180 steps in turn, commits included)"
    if not case.size:
        return Row(what, cost_ms, "<= 5")
    return Row(what, f"{cost_ms}, {ratio(costs[case], costs[_CASES[0]])} x the cost at 200", "<= 1.2 x the cost at 200")


def _steps_cost(where: Path, case: Case, done: int) -> float:
    """CPU seconds per step of 200 more steps of a run; the first 20 fill caches that a long run has full."""
    watch = synthetic.Stopwatch()
    parts = Parts(executor=synthetic.InstantExecutor(), arms={"local/instant": synthetic.InstantArm(done)})
    config = RunConfig(steps=done + 200)
    config = with_limit(synthetic.task(), config) if case.whole else synthetic.bare(config)
    with evolve.Archive.open(where) as archive:
        asyncio.run(drive(archive, 1, synthetic.task(), config, watcher=watch, parts=parts))
    return (watch.cpu_s[-1] - watch.cpu_s[-181]) / 180


def numpy_task() -> evolve.Task:
    """A task whose program only shows that numpy is there."""
    source = "import numpy as np\n\ndef f():\n    return float(np.ones(8).sum())\n"
    return evolve.inline_task("start", source, calls_f)


def calls_f(program: evolve.IsolatedProgram) -> evolve.Score:
    """Scores what `f` returns."""
    return evolve.Score(program.call("f"))


def sandbox() -> Iterator[Row]:
    """Cost of one evaluation of a numpy program, from request to swept sandbox."""
    for level in (report.level for report in available_levels() if report.available):
        few, many = _evaluations(level, 20), _evaluations(level, 320)
        cpu_ms = (many.cpu_s - few.cpu_s) / 300 * 1e3
        own_ms = (many.own_s - few.own_s) / 300 * 1e3
        yield Row(f"evaluation of a numpy program at level {level}, CPU ms in all", f"{cpu_ms:.2f}", "<= 15 (strong)")
        yield Row(f"  of which in the controller, CPU ms more at level {level}", f"{own_ms:.2f}", "–")
        ordered = sorted(many.walls_ms)
        p50, p95 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
        yield Row(f"  wall-clock ms at level {level}, p50 / p95", f"{p50:.1f} / {p95:.1f}", "–")


class Cost(NamedTuple):
    """What some evaluations cost: CPU seconds in all, those of this process, and wall-clock milliseconds of each."""

    cpu_s: float
    own_s: float
    walls_ms: list[float]


def _evaluations(level: Isolation, count: int) -> Cost:
    async def work() -> list[float]:
        walls = []
        async with LocalExecutor(numpy_task(), workers=1, isolation=level) as executor:
            for number in range(count):
                start = time.perf_counter()
                evaluated = await executor.evaluate(numpy_task().files, seed=number)
                walls.append((time.perf_counter() - start) * 1e3)
                assert evaluated.evaluation.ok, evaluated.evaluation.feedback
        return walls

    own = time.process_time()
    with _all_cpu_counted() as cpu_s:
        before = cpu_s()
        walls = asyncio.run(work())
        return Cost(cpu_s() - before, time.process_time() - own, walls)


@contextmanager
def _all_cpu_counted() -> Iterator[Callable[[], float]]:
    """Counts the CPU seconds of this process and everything below it, also of what ends with its namespace, unwaited for.

    Where no control group can be made (an ordinary user), what is waited for: level strong looks 2 to 4 ms cheaper then.
    """
    group = MemoryGroup.make(2**20)
    if group is None or group.cpu_s() is None or not group.take(os.getpid()):
        yield lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) + time.process_time()
        return
    try:
        yield lambda: group.cpu_s() or 0.0
    finally:
        group.release(os.getpid())
        group.remove()


TALKING = """
def empty(x):
    return x

def asks(n, query):
    for i in range(n):
        query(i)
"""


def calls() -> Iterator[Row]:
    """Wall-clock microseconds for crossing into a program and back, with nothing done there."""
    small, large = np.zeros(1, np.float32), np.zeros((64, 2**12), np.float32)
    for level in (report.level for report in available_levels() if report.available):
        settings = SandboxSettings("initial.py", Limits(timeout_s=60), level)
        with ForkServer(settings) as server, SandboxedProgram(server, {"initial.py": TALKING}, 0) as program:
            with program.hooks() as hooks:
                one, many = ({"x": (array.shape, "float32")} for array in (small, large))
                empty, copying = hooks.bind("empty", one, one), hooks.bind("empty", many, many)
                text = _quantiles_us([_wall_us(partial(empty, x=small)) for _ in range(5000)])
                yield Row(f"a hook that does nothing at level {level}, wall-clock us, p50 / p95", text, "<= 100 (p50)")
                text = _quantiles_us([_wall_us(partial(copying, x=large)) for _ in range(500)])
                yield Row("  with 1 MB in and 1 MB out", text, "–")
            asked_at: list[float] = []
            lent = {"query": lambda _: asked_at.append(time.perf_counter())}  # noqa: B023 - called before the next level
            program.call("asks", 5000, callbacks=lent)
            text = _quantiles_us([(late - early) * 1e6 for early, late in pairwise(asked_at)])
            yield Row(f"a callback that does nothing at level {level}, wall-clock us, p50 / p95", text, "–")


def _wall_us(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e6


def _quantiles_us(walls_us: list[float]) -> str:
    ordered = sorted(walls_us)
    return f"{ordered[len(ordered) // 2]:.0f} / {ordered[int(len(ordered) * 0.95)]:.0f}"


def resume() -> Iterator[Row]:
    """CPU seconds and memory of taking up a run of 10 000 programs, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "a.db"
        with evolve.Archive.open(where, create=True) as archive:
            synthetic.fill(archive, 10_000)
        answer = subprocess.run(
            [sys.executable, __file__, "--probe-resume", str(where)], capture_output=True, text=True, check=True
        )
    cpu_s, resident_mb = answer.stdout.split()
    yield Row("reading and folding a run of 10,000 programs, CPU s", cpu_s, "<= 1")
    yield Row("memory of the controller at 10,000 programs, MB", resident_mb, "<= 250")


def probe_resume(where: str) -> None:
    """Prints CPU seconds of a resume without a step to do, and the process's largest resident memory."""
    # Found when a run begins and recorded with it: taking it up does not look for the limit again.
    config = with_limit(synthetic.task(), RunConfig(steps=10_000))
    start = time.process_time()
    with evolve.Archive.open(where) as archive:
        parts = Parts(executor=synthetic.InstantExecutor(), arms={"local/instant": synthetic.InstantArm()})
        asyncio.run(drive(archive, 1, synthetic.task(), config, parts=parts))
    print(f"{time.process_time() - start:.2f} {peak_mb():.0f}")


def disk() -> Iterator[Row]:
    """Size of an archive of 3000 steps as a model makes them."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "a.db"
        with evolve.Archive.open(where, create=True) as archive:
            synthetic.fill(archive, 3000, prompts=True)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    yield Row("disk for 3000 steps of 6 kB programs with 25 kB prompts and 1.5 kB replies, MB", f"{size / 1e6:.1f}", "<= 30")


def packing() -> Iterator[Row]:
    """What local arms reach on circle packing, with seeds that no setting was chosen by."""
    for steps in (300, 2000):
        with tempfile.TemporaryDirectory() as folder:
            found = [
                evolve.run("circle_packing", steps=steps, seed=seed, archive=Path(folder) / "a.db").summary()
                for seed in range(100, 105)
            ]
        values = sorted(item["best"]["objective"] for item in found)
        seconds = statistics.median(item["seconds"] for item in found)
        text = f"{values[2]:.4f} ({values[0]:.4f} to {values[-1]:.4f}), {seconds:.0f} s each"
        yield Row(f"circle packing, local arms, {steps} steps, median of seeds 100 to 104 (range)", text, ">= 2.0 surely")


MEASUREMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    function.__name__: function for function in (start_up, controller, sandbox, calls, resume, disk, models, packing)
}


def kept_below(former: str) -> str:
    """Returns what a new table leaves as it is: all that stands below the marker.

    Args:
        former: The page so far; empty where there is none.

    Raises:
        SystemExit: If the page has text and no marker, so that what was written by hand cannot be told.
    """
    _, marker, below = former.partition(MARKER)
    if former.strip() and not marker:
        raise SystemExit(f"error: {RESULTS} has no marker line, expected {MARKER!r}; put it above what is to be kept")
    return below or "\n"


def page(rows: Sequence[Row], below: str) -> str:
    """Writes the page: heading, table, marker, and what is kept below it."""
    lines = [f"| {row.what.strip()} | {row.figure} | {row.budget} |" for row in rows]
    date = time.strftime("%Y-%m-%d")
    heading = f"# Results\n\nMade by `make bench` on {date}: {machine()}. The machine is shared; see README.md.\n\n"
    table = "| what | measured | budget |\n|---|---|---|\n" + "\n".join(lines) + "\n"
    return f"{heading}{table}\n{MARKER}{below}"


def main() -> None:
    """Runs the measurements that were asked for; all of them are written to RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=list(MEASUREMENTS))
    parser.add_argument("--probe-resume", metavar="ARCHIVE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe_resume:
        probe_resume(arguments.probe_resume)
        return
    # Read before minutes of measuring: a page that cannot be written is an error now.
    below = kept_below(RESULTS.read_text() if RESULTS.exists() else "")
    rows = []
    for name in arguments.only or MEASUREMENTS:
        for row in MEASUREMENTS[name]():
            print(f"{row.what}: {row.figure} (budget {row.budget})", flush=True)
            rows.append(row)
    if not arguments.only:
        RESULTS.write_text(page(rows, below))


if __name__ == "__main__":
    main()
