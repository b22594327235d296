"""Measures strategies on landscapes and prints a table: ``python -m benchmarks.landscapes --strategy default --seeds 10``."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from benchmarks.landscapes.base import Landscape
from benchmarks.landscapes.catalog import LANDSCAPES, RESERVED, make
from benchmarks.landscapes.driver import Trace, reached, simulate
from evolve.comparing.inference import median_interval
from evolve.config import RunConfig, resolve
from evolve.errors import ConfigError
from evolve.strategies import strategy_names

_COLUMNS = (
    "landscape",
    "strategy",
    "steps to the mark",
    "reached",
    "final, % of the way",
    "95 %",
    "final",
    "scored again",
    "rejected",
)


class Trial(NamedTuple):
    """One run that is to be measured."""

    landscape: str
    config: RunConfig
    seed: int
    steps: int
    lag: int


def run(trial: Trial) -> Trace:
    """Simulates a trial, in whichever process."""
    return simulate(make(trial.landscape), trial.config, seed=trial.seed, steps=trial.steps, lag=trial.lag)


def traces(trials: Sequence[Trial], workers: int) -> Iterator[Trace]:
    """Yields what came of each trial, in their order, whatever the number of processes."""
    if workers == 1:
        yield from map(run, trials)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(run, trials)


def steps_to_mark(runs: Sequence[Trace], landscape: Landscape) -> str:
    """The median over seeds; a run that never arrived counts as longer than any other."""
    arrived = [reached(trace, landscape) for trace in runs]
    median = float(np.median([math.inf if step is None else step for step in arrived]))
    return f"{median:.0f}" if math.isfinite(median) else f"> {len(runs[0].believed) - 1}"


def way(objective: float, landscape: Landscape) -> float:
    """Percent of the way from the initial program to the optimum."""
    start = landscape.value(landscape.initial)
    return 100 * (objective - start) / (landscape.optimum - start)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the median, from ``(n,)`` values."""
    found = median_interval(values.tolist())
    return found.low, found.high


def row(strategy: str, landscape: Landscape, runs: Sequence[Trace]) -> tuple[str, ...]:
    """Summarises the runs of one strategy on one landscape: what `_COLUMNS` name."""
    finals = np.array([trace.believed[-1] for trace in runs])
    ways = np.array([way(final, landscape) for final in finals])
    low, high = interval(ways)
    evaluations = sum(trace.evaluations for trace in runs)
    again = sum(trace.repeats for trace in runs) / evaluations
    turned_down = sum(trace.rejected for trace in runs)
    return (
        landscape.name,
        strategy,
        steps_to_mark(runs, landscape),
        f"{sum(reached(trace, landscape) is not None for trace in runs)}/{len(runs)}",
        f"{np.median(ways):.1f}",
        f"{low:.1f} to {high:.1f}",
        f"{np.median(finals):.13g}",
        f"{100 * again:.1f} %",
        f"{turned_down / len(runs):.0f}",
    )


def print_row(cells: Sequence[str]) -> None:
    """Prints one line of the table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.landscapes", description=__doc__)
    parser.add_argument("--strategy", action="append", choices=strategy_names(), help="may be given again; default: default")
    parser.add_argument(
        "--landscape", action="append", choices=[*LANDSCAPES, *RESERVED], help="may be given again; default: all but the reserved"
    )
    parser.add_argument("--seeds", type=int, default=10, help="how many, from --first-seed on")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lag", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="a run's setting")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    return parser.parse_args(arguments)


def main() -> None:
    """Measures what the command line asks for."""
    options = read_arguments()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    print_row(_COLUMNS)
    print_row(["---"] * len(_COLUMNS))
    for name in options.landscape or LANDSCAPES:
        landscape = make(name)
        for strategy in options.strategy or ["default"]:
            try:
                config = resolve(landscape.task(), settings=options.settings, options={"strategy": strategy})
            except ConfigError as error:
                sys.exit(f"error: {error}")
            trials = [Trial(name, config, seed, options.steps, options.lag) for seed in seeds]
            print_row(row(strategy, landscape, list(traces(trials, options.workers))))


if __name__ == "__main__":
    main()
