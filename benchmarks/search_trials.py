"""What `search.py` measures: a strategy, or the default with one part changed, on a landscape with a seed."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from benchmarks.landscapes.__main__ import way  # noqa: E402
from benchmarks.landscapes.catalog import LANDSCAPES, RESERVED, make  # noqa: E402
from benchmarks.landscapes.driver import reached, simulate  # noqa: E402
from evolve.config import resolve, with_limit  # noqa: E402

__all__ = ["LANDSCAPES", "PARTS", "RESERVED", "STRATEGIES", "Measured", "Trial", "make", "measure", "read"]

#: Strategies by name, with the settings that choose them.
STRATEGIES: Mapping[str, Sequence[str]] = {
    name: (f"strategy={name}",)
    for name in ("default", "shinka", "adaptive", "mapelites", "cvt", "tournament", "beam", "best_of_n", "sequential")
}
#: The default with one part changed.
PARTS: Mapping[str, Sequence[str]] = {
    "two islands": ("islands.n_islands=2",),
    "four islands": ("islands.n_islands=4",),
    "islands founded": ("islands.spawn_after=100",),
    "uniform parents": ("parents.pressure=0.0", "parents.offspring_discount=0.0"),
    "no novelty by distance": ("novelty.calibrate=false",),
    "new approaches": ("stagnation.after=40",),
    "arms by turns": ("bandit.name=fixed",),
    "no re-measuring": ("stages.verify=false",),
}


class Trial(NamedTuple):
    """One run."""

    landscape: str
    variant: str
    seed: int
    steps: int


class Measured(NamedTuple):
    """What came of a run.

    Attributes:
        trial: Which.
        mark: Steps until the program held to be the best was at the landscape's mark; one more than were run if it never was.
        way: Percent of the way from the initial program to the optimum at the end.
        repeated: Share of evaluations of a source whose fingerprint had been scored before.
        cpu_s: CPU seconds.
        mark_evaluations: Evaluations until then, further ones of a program among them, as ``mark``; nan where it was not noted.
        verified: Further evaluations of programs that would have been the best, as a share of all.
        luck: What the best was measured to have beyond its true objective at the end, as percent of the way.
        covered: Whether the true objective lies in the interval that the best was reported with; None where it had none.
    """

    trial: Trial
    mark: int
    way: float
    repeated: float
    cpu_s: float
    mark_evaluations: float = math.nan
    verified: float = math.nan
    luck: float = math.nan
    covered: bool | None = None

    @property
    def arrived(self) -> bool:
        """Whether it reached the mark at all."""
        return self.mark <= self.trial.steps

    def line(self) -> str:
        """Writes it down in a line."""
        return json.dumps([list(self.trial), *self[1:]])


def measure(trial: Trial) -> Measured:
    """Simulates a run, in whichever process."""
    landscape = make(trial.landscape)
    task = landscape.task()
    settings = [*{**STRATEGIES, **PARTS}[trial.variant], f"seed={trial.seed}"]
    began = time.process_time()
    trace = simulate(landscape, with_limit(task, resolve(task, settings=settings)), seed=trial.seed, steps=trial.steps)
    step = reached(trace, landscape)
    believed, reported, interval = float(trace.believed[-1]), float(trace.reported[-1]), trace.interval
    return Measured(
        trial,
        trial.steps + 1 if step is None else step,
        way(believed, landscape),
        trace.reevaluations / trace.evaluations,
        time.process_time() - began,
        float(trace.spent[-1] + 1 if step is None else trace.spent[step]),
        trace.verifications / trace.spent[-1],
        way(reported, landscape) - way(believed, landscape),
        None if interval is None else interval.low <= believed <= interval.high,
    )


def read(file: Path) -> Iterator[Measured]:
    """Reads what an earlier call wrote down, if it did."""
    if not file.exists():
        return
    for line in file.read_text().splitlines():
        trial, *rest = json.loads(line)
        yield Measured(Trial(*trial), *rest)
