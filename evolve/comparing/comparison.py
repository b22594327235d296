"""What a comparison came to: every run, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.comparing.curves import Axis, Curve, areas, read_curve
from evolve.comparing.inference import PairTest, compare_pairs, median_interval
from evolve.comparing.study import Study, recorded
from evolve.intervals import Interval, interval_of
from evolve.program import Direction

#: Shares of the budget at which the best so far is reported.
CHECKPOINTS = (0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run came to within the budget.

    Attributes:
        strategy: The variant's label.
        seed: The run's seed.
        number, name: In the archive.
        value: The best objective within the budget.
        initial: What the initial program scored.
        program: Identifier of the best program.
        noise: The best program's mean with its interval, where it was measured repeatedly (see `evolve.closing`); otherwise None.
        holdout: What the best program scored on held-out data; None where there is none, or it has not been scored on it.
        curve: How it came along.
        early: Whether it ended, by another limit, before the budget was spent.
        steps: Steps that ended, in all.
        usd: Dollars spent in all.
        seconds: Wall-clock seconds in all.
    """

    strategy: str
    seed: int
    number: int
    name: str
    value: float
    initial: float
    program: str
    noise: Interval | None
    holdout: float | None
    curve: Curve
    early: bool
    steps: int
    usd: float
    seconds: float


class Checkpoint(NamedTuple):
    """The best so far of a strategy's runs at part of the budget.

    Attributes:
        at: How much of the budget.
        median: Over seeds, with its interval.
        values: One per seed.
    """

    at: float
    median: Interval
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """What the runs of one strategy came to.

    Attributes:
        strategy: The variant's label.
        runs: In the order of the seeds.
        checkpoints: At parts of the budget, the whole one last.
        area: Median over seeds of the area under the curve (`evolve.comparing.curves.areas`), with its interval.
        areas: One per seed.
    """

    strategy: str
    runs: tuple[RunResult, ...]
    checkpoints: tuple[Checkpoint, ...]
    area: Interval
    areas: tuple[float, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """The best objective within the whole budget, one per seed."""
        return self.checkpoints[-1].values

    @property
    def median(self) -> Interval:
        """The median of `values`, with its interval."""
        return self.checkpoints[-1].median


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison came to.

    Attributes:
        task: The task's name.
        metric: Name of the objective.
        direction: Whether more is better.
        best_known: The best value that anybody is known to have reached; None when the task names none.
        arms: What made children.
        axis: What the budget is counted in.
        budget: How much of it each run had.
        seeds: In the order given.
        strategies: In the order given.
        tests: Every strategy against every other, by the objective within the whole budget.
        evaluator_sha256: Hash of everything that decides a score.
    """

    task: str
    metric: str
    direction: Direction
    best_known: float | None
    arms: tuple[str, ...]
    axis: Axis
    budget: float
    seeds: tuple[int, ...]
    strategies: tuple[StrategyResult, ...]
    tests: tuple[PairTest, ...]
    evaluator_sha256: str

    def strategy(self, label: str) -> StrategyResult:
        """Returns what one strategy came to.

        Raises:
            KeyError: If it was not compared.
        """
        for result in self.strategies:
            if result.strategy == label:
                return result
        raise KeyError(label)


def read_comparison(archive: Archive, study: Study) -> Comparison:
    """Reads what a study came to from the archive.

    Raises:
        ArchiveError: If a run is missing, or has not scored anything.
    """
    found = recorded(archive, study)
    direction = study.task.objective.direction
    results = [_run_result(archive, study, label, seed, found[label, seed]) for label in study.strategies for seed in study.seeds]
    covered = areas([run.curve for run in results], study.axis, study.budget, direction)
    strategies = []
    for index, label in enumerate(study.strategies):
        place = slice(index * len(study.seeds), (index + 1) * len(study.seeds))
        strategies.append(_strategy_result(study, label, results[place], covered[place].tolist()))
    values = {result.strategy: result.values for result in strategies}
    task = study.task
    return Comparison(
        task=task.name,
        metric=task.objective.metric,
        direction=direction,
        best_known=task.objective.best_known,
        arms=_arms(study),
        axis=study.axis,
        budget=study.budget,
        seeds=study.seeds,
        strategies=tuple(strategies),
        tests=tuple(compare_pairs(values, direction.oriented(1.0))),
        evaluator_sha256=task.evaluator_sha256,
    )


def _arms(study: Study) -> tuple[str, ...]:
    """All arms of all runs: mostly the same for each."""
    return tuple(dict.fromkeys(arm for run in study.runs for arm in run.config.arms))


def checkpoint_budgets(axis: Axis, budget: float) -> list[float]:
    """Returns the parts of a budget at which the best so far is reported; steps are whole."""
    parts = [share * budget for share in CHECKPOINTS]
    return [float(max(1, round(part))) for part in parts] if axis is Axis.STEPS else parts


def _run_result(archive: Archive, study: Study, label: str, seed: int, number: int) -> RunResult:
    shown, curve = summary(archive, number), read_curve(archive, number)
    place = curve.place(study.axis, study.budget)
    program = curve.programs[place]
    return RunResult(
        strategy=label,
        seed=seed,
        number=number,
        name=shown["name"],
        value=float(curve.best[place]),
        initial=curve.initial,
        program=program,
        noise=_noise(archive, number, shown, program),
        holdout=_holdout(shown, program),
        curve=curve,
        early=_ended_early(study.axis, study.budget, shown),
        steps=shown["steps"]["done"],
        usd=shown["usd"],
        seconds=shown["seconds"],
    )


def _noise(archive: Archive, number: int, shown: dict[str, Any], program: str) -> Interval | None:  # Any: JSON values
    """How sure a program's objective is: by what was measured when the run was finished, if it is the best of all its steps."""
    best = shown["best"]
    if best["program"] == program:
        found = best["interval"]
        return None if found is None else Interval(found["mean"], found["low"], found["high"])
    evaluation = archive.program(number, program)[1]
    return None if evaluation is None else interval_of(evaluation)


def _ended_early(axis: Axis, budget: float, shown: dict[str, Any]) -> bool:  # Any: JSON values
    """Says whether a run had to end before its budget was spent: for want of dollars or time, or of steps."""
    if axis is Axis.STEPS:
        return bool(shown["steps"]["done"] < budget)
    return bool(shown["status"] == "finished")


def _holdout(shown: dict[str, Any], program: str) -> float | None:  # Any: JSON values
    """What a program scored on held-out data, if it is one of those that were scored on it."""
    for place in ("best", "initial"):
        result = shown[place]
        if result is not None and result["program"] == program and result["holdout"] is not None:
            objective: float | None = result["holdout"]["objective"]
            return objective
    return None


def _strategy_result(study: Study, label: str, runs: Sequence[RunResult], covered: Sequence[float]) -> StrategyResult:
    checkpoints = []
    for at in checkpoint_budgets(study.axis, study.budget):
        values = tuple(float(run.curve.best[run.curve.place(study.axis, at)]) for run in runs)
        checkpoints.append(Checkpoint(at, median_interval(values), values))
    return StrategyResult(label, tuple(runs), tuple(checkpoints), median_interval(covered), tuple(covered))
