"""Measures strategies, and their parts on and off, on the landscapes: `SEARCH.md`.

    python benchmarks/search.py --seeds 20 --first-seed 1000 --output search      # goes on where it was interrupted
    python benchmarks/search.py --output search --report                          # the tables of what is there

The landscapes are synthetic (`benchmarks/landscapes`): what is said here of samples needed is synthetic until it is measured on
real models, which `benchmarks/validate_models.py` does for whoever has a key.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from benchmarks.landscapes.__main__ import way  # noqa: E402
from benchmarks.landscapes.catalog import LANDSCAPES, RESERVED, make  # noqa: E402
from benchmarks.landscapes.driver import reached, simulate  # noqa: E402
from evolve.comparing.inference import compare_pairs, holm, median_interval  # noqa: E402
from evolve.config import resolve, with_limit  # noqa: E402

#: What is measured: strategies by name, and the default with one part changed.
STRATEGIES: Mapping[str, Sequence[str]] = {
    name: (f"strategy={name}",)
    for name in ("default", "shinka", "adaptive", "mapelites", "cvt", "tournament", "beam", "best_of_n", "sequential")
}
PARTS: Mapping[str, Sequence[str]] = {
    "one island": ("islands.n_islands=1",),
    "four islands": ("islands.n_islands=4",),
    "no novelty by distance": ("novelty.calibrate=false",),
    "no new approach": ("stagnation.after=0",),
    "arms by turns": ("bandit.name=fixed",),
    "uniform parents": ("parents.pressure=0.0", "parents.offspring_discount=0.0"),
    "no re-measuring": ("stages.verify=false",),
}
#: `default` counts as no worse than a strategy if it needs at most this much more of its median samples; stated beforehand.
MARGIN = 1.25


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


def main() -> None:
    """Runs what is missing and prints the report."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / "search.jsonl"
    done = {item.trial: item for item in _read(file)}
    if not options.report:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        # Seed by seed, so that what an interruption leaves is balanced.
        wanted = [
            Trial(landscape, variant, seed, options.steps)
            for seed in seeds
            for landscape in options.landscape or [*LANDSCAPES, *RESERVED]
            for variant in options.variant or [*STRATEGIES, *PARTS]
        ]
        with ProcessPoolExecutor(options.workers) as pool, file.open("a") as log:
            for item in pool.map(measure, [trial for trial in wanted if trial not in done]):
                done[item.trial] = item
                log.write(json.dumps([list(item.trial), *item[1:]]) + "\n")
                log.flush()
    print("\n".join(report(list(done.values()))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1000, help="0 to 9 were used to choose settings")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--landscape", action="append", choices=[*LANDSCAPES, *RESERVED])
    parser.add_argument("--variant", action="append", choices=[*STRATEGIES, *PARTS])
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def _read(file: Path) -> Iterator[Measured]:
    if not file.exists():
        return
    for line in file.read_text().splitlines():
        trial, *rest = json.loads(line)
        yield Measured(Trial(*trial), *rest)


# The report


def report(items: Sequence[Measured]) -> Iterator[str]:
    """Writes the tables: samples to the mark, what each part is worth, known code evaluated again."""
    found = {(item.trial.landscape, item.trial.variant, item.trial.seed): item for item in items}
    landscapes = [name for name in (*LANDSCAPES, *RESERVED) if any(key[0] == name for key in found)]
    for title, variants in (("Strategies", STRATEGIES), ("Parts of the default, changed one at a time", PARTS)):
        present = [name for name in ("default", *variants) if any(key[1] == name for key in found)]
        yield f"\n## {title}\n"
        yield from _marks(found, landscapes, list(dict.fromkeys(present)))
        yield ""
        yield from _evaluations(found, landscapes, list(dict.fromkeys(present)))
    yield "\n## Noise\n"
    yield from _noise(found, landscapes)
    yield "\n## Cost\n"
    again, spent_s = 100 * np.mean([item.repeated for item in items]), sum(item.cpu_s for item in items)
    yield f"{len(items)} runs; known code evaluated again: {again:.2f} % of evaluations; {spent_s:.0f} CPU s."


_Found = Mapping[tuple[str, str, int], Measured]


def _marks(found: _Found, landscapes: Sequence[str], variants: Sequence[str]) -> Iterator[str]:
    yield f"| samples to the mark, median [95 %] | {' | '.join(landscapes)} |"
    yield f"| --- | {' | '.join('---' for _ in landscapes)} |"
    for variant in variants:
        yield f"| {variant} | {' | '.join(_mark(found, landscape, variant) for landscape in landscapes)} |"
    yield ""
    yield f"| percent of the way at the end, median | {' | '.join(landscapes)} |"
    yield f"| --- | {' | '.join('---' for _ in landscapes)} |"
    for variant in variants:
        ways = [[item.way for item in _of(found, landscape, variant)] for landscape in landscapes]
        yield f"| {variant} | {' | '.join(f'{np.median(values):.1f}' if values else '' for values in ways)} |"
    yield ""
    yield "| default against | landscape | ratio of medians | sooner in | p, Holm |"
    yield "| --- | --- | --- | --- | --- |"
    for landscape in landscapes:
        yield from _against(found, landscape, [variant for variant in variants if variant != "default"])


def _evaluations(found: _Found, landscapes: Sequence[str], variants: Sequence[str]) -> Iterator[str]:
    yield f"| evaluations to the mark, median | {' | '.join(landscapes)} |"
    yield f"| --- | {' | '.join('---' for _ in landscapes)} |"
    for variant in variants:
        yield f"| {variant} | {' | '.join(_mark_evaluations(_of(found, landscape, variant)) for landscape in landscapes)} |"


def _mark_evaluations(items: Sequence[Measured]) -> str:
    if not items or any(math.isnan(item.mark_evaluations) for item in items):
        return ""
    # A run that never arrived is longer than any other, whatever it evaluated.
    median = np.median([item.mark_evaluations if item.mark <= item.trial.steps else math.inf for item in items])
    return f"{median:.0f}" if math.isfinite(median) else "never"


def _noise(found: _Found, landscapes: Sequence[str]) -> Iterator[str]:
    """Says what measuring again came to, on landscapes with noise."""
    yield "| landscape | variant | further evaluations | measured beyond the truth, mean | truth in the interval |"
    yield "| --- | --- | --- | --- | --- |"
    for landscape in (name for name in landscapes if make(name).noise):
        for variant in ("default", "no re-measuring"):
            items = [item for item in _of(found, landscape, variant) if not math.isnan(item.luck)]
            if items:
                further, luck = 100 * np.mean([item.verified for item in items]), np.mean([item.luck for item in items])
                covered = [item.covered for item in items if item.covered is not None]
                shown = f"{sum(covered)}/{len(covered)}" if covered else "no interval"
                yield f"| {landscape} | {variant} | {further:.1f} % | {luck:+.1f} % of the way | {shown} |"


def _of(found: _Found, landscape: str, variant: str) -> list[Measured]:
    return [item for key, item in sorted(found.items()) if key[:2] == (landscape, variant)]


def _mark(found: _Found, landscape: str, variant: str) -> str:
    items = _of(found, landscape, variant)
    if not items:
        return ""
    low, median, high = _interval([item.mark for item in items])
    reached_it = sum(item.mark <= item.trial.steps for item in items)
    limit = items[0].trial.steps
    shown = [f"{value:.0f}" if value <= limit else f">{limit}" for value in (median, low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}], {reached_it}/{len(items)}"


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    interval = median_interval(values)
    return interval.low, interval.value, interval.high


def _against(found: _Found, landscape: str, others: Sequence[str]) -> Iterator[str]:
    own = {item.trial.seed: float(item.mark) for item in _of(found, landscape, "default")}
    marks = {name: {item.trial.seed: float(item.mark) for item in _of(found, landscape, name)} for name in others}
    seeds = sorted(set(own).intersection(*(set(of_seed) for of_seed in marks.values() if of_seed)))
    if not seeds:
        return
    paired = {name: [of_seed[seed] for seed in seeds] for name, of_seed in marks.items() if of_seed}
    default = [own[seed] for seed in seeds]
    tests = [compare_pairs({"default": default, name: column}, -1.0)[0] for name, column in paired.items()]
    for test, adjusted in zip(tests, holm([test.p for test in tests]), strict=True):
        ratio = np.median(default) / max(np.median(paired[test.second]), 1.0)
        word = "" if math.isclose(ratio, 1.0) or ratio < MARGIN else " (beyond the margin)"
        yield f"| {test.second} | {landscape} | {ratio:.2f}{word} | {100 * test.superiority:.0f} % | {adjusted:.3g} |"


if __name__ == "__main__":
    main()
