"""Evolution with local arms beside random search over the constants of the same program, both judged on hidden traces."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import evolve
from evolve.evaluators.placement.catalog import source
from evolve.evaluators.placement.policy import LocalPolicy
from evolve.evaluators.placement.problem import Problem, ProblemConfig
from evolve.evaluators.placement.scenario import Scenario
from evolve.evaluators.placement.simulator import replay
from evolve.evaluators.statistics import mean, standard_error
from evolve.intervals import mean_interval
from evolve.rng import generator
from evolve.significance import holm, student_p
from evolve.tasks.catalog import find

TASK = "eplb_traffic"

#: Ranges that random search draws from: around where a constant does something.
RANGES: Mapping[str, tuple[float, float]] = {
    "DECAY": (0.0, 0.9),
    "SHRINK": (0.0, 0.5),
    "SPREAD_ABOVE": (1.0, 2.0),
    "KEEP_BELOW": (0.9, 1.5),
}

#: Policies that finds are compared with.
BASELINES = ("deepseek_hierarchical", "minimum_migration_grouped", "deepseek_global")


class Found(NamedTuple):
    """What a search came to.

    Attributes:
        name: Of the search, with its seed.
        source: The best program.
        searched: Its ratio on the search's traces.
        hidden: ``(n,)`` its ratios on hidden traces.
    """

    name: str
    source: str
    searched: float
    hidden: np.ndarray


class Comparison(NamedTuple):
    """Searches and baselines on the same hidden traces.

    Attributes:
        evolved: By seed.
        drawn: By seed, of random search.
        baselines: Ratios on hidden traces, by name.
        start: Ratio of the initial program on the search's traces.
        steps: Of each search.
    """

    evolved: Sequence[Found]
    drawn: Sequence[Found]
    baselines: Mapping[str, np.ndarray]
    start: float
    steps: int


def compare(folder: Path, steps: int, seeds: int, hidden: int) -> Comparison:
    """Runs evolution and random search with every seed; runs that are in the folder's archive are taken from there."""
    task = find(TASK)
    assert task.folder is not None
    problem = Problem(ProblemConfig.read(task.folder / "placement.toml"), task.folder)
    initial = next(iter(task.files.values()))
    searched = problem.scenarios("search", range(problem.config.searched))
    unseen = problem.scenarios("hidden", range(hidden))

    def found(name: str, text: str) -> Found:
        return Found(name, text, float(np.mean(ratios(text, searched))), np.array(ratios(text, unseen)))

    evolved = [found(f"evolution, seed {seed}", _evolved(folder, steps, seed)) for seed in range(seeds)]
    drawn = [found(f"random search, seed {seed}", _drawn(initial, searched, steps, seed)) for seed in range(seeds)]
    baselines = {name: np.array(ratios(source(name), unseen)) for name in BASELINES}
    return Comparison(evolved, drawn, baselines, float(np.mean(ratios(initial, searched))), steps)


def ratios(text: str, scenarios: Sequence[Scenario]) -> list[float]:
    """The ratio of each scenario."""
    return [replay(LocalPolicy(text, scenario.facts), scenario).ratio for scenario in scenarios]


def with_constants(text: str, constants: Mapping[str, float]) -> str:
    """The program with other numbers at its top.

    Raises:
        ValueError: If a constant is not defined there.
    """
    for name, value in constants.items():
        text, changed = re.subn(rf"^{name} = \S+", f"{name} = {value!r}", text, flags=re.MULTILINE)
        if changed != 1:
            raise ValueError(f"the program defines {name} {changed} times at its top, expected once")
    ast.parse(text)
    return text


def draw(number: int, seed: int) -> dict[str, float]:
    """The constants of one evaluation; a longer search begins with a shorter one. The first are as published."""
    if number == 0:
        return {}
    rng = generator(seed, number, "benchmarks.placement/random")
    return {name: float(rng.uniform(low, high)) for name, (low, high) in RANGES.items()}


def _drawn(initial: str, searched: Sequence[Scenario], steps: int, seed: int) -> str:
    programs = (with_constants(initial, draw(number, seed)) for number in range(steps))
    return max(programs, key=lambda text: float(np.mean(ratios(text, searched))))


def _evolved(folder: Path, steps: int, seed: int) -> str:
    """The best program of a run; a run that is there already is taken as it is."""
    archive = folder / f"{TASK}-{steps}-{seed}.db"
    run = evolve.Run(str(archive), 1) if archive.exists() else None
    if run is None or run.summary()["state"] != "finished":
        archive.unlink(missing_ok=True)
        run = evolve.run(TASK, steps=steps, seed=seed, archive=archive)
    best = run.best
    if best is None:
        raise SystemExit(f"error: the run in {archive} has no program that scored; delete the file and begin again")
    return next(iter(best.files.values()))


def search_report(found: Comparison) -> Iterator[str]:
    """Writes what searches reached on their own traces and on hidden ones, and who is better than whom."""
    traces = len(next(iter(found.baselines.values())))
    yield f"{found.steps} steps with local arms, or as many evaluations; {traces} hidden traces, the same for all.\n"
    yield "| search | ratio on the search's traces | on hidden traces |\n|---|---|---|"
    yield f"| initial program | {found.start:.4f} | {found.baselines['deepseek_hierarchical'].mean():.4f} |"
    for one in (*found.evolved, *found.drawn):
        yield f"| {one.name} | {one.searched:.4f} | {one.hidden.mean():.4f} |"
    yield from _differences(found)


def _differences(found: Comparison) -> Iterator[str]:
    """Pairs by hidden trace; finds of several seeds are averaged first, so that traces are what is counted."""
    evolved = np.mean([one.hidden for one in found.evolved], axis=0)
    drawn = np.mean([one.hidden for one in found.drawn], axis=0)
    pairs = {"evolution less random search": evolved - drawn}
    pairs |= {f"evolution less `{name}`": evolved - values for name, values in found.baselines.items()}
    pairs |= {f"random search less `{name}`": drawn - values for name, values in found.baselines.items()}
    corrected = holm([student_p(list(values)) for values in pairs.values()])
    yield "\nPaired by hidden trace, finds of all seeds averaged; Student's interval, Holm's correction over these comparisons:\n"
    yield "| difference of ratios | mean [95 %] | p (Holm) |\n|---|---|---|"
    for (name, values), p in zip(pairs.items(), corrected, strict=True):
        error = standard_error(list(values))
        interval = mean_interval(mean(list(values)), error or 0.0, len(values))
        yield f"| {name} | {interval.value:+.5f} [{interval.low:+.5f}, {interval.high:+.5f}] | {p:.2g} |"
    better = sum(one.hidden.mean() > other.hidden.mean() for one in found.evolved for other in found.drawn)
    pairs_of_searches = len(found.evolved) * len(found.drawn)
    yield f"\nOf {pairs_of_searches} pairs of a run and a random search, the run's find is better on hidden traces in {better}."
