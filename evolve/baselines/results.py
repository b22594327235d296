"""What the measurements of a task's baselines say: means with intervals, and differences from a reference, pair by pair.

Measurements with the same seed are a pair. A baseline that failed with any of the seeds has no mean: that of the others would be
one of the cases that went well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evolve.baselines.journal import Journal
from evolve.baselines.measuring import Plan
from evolve.baselines.programs import BaselineProgram
from evolve.comparing.inference import paired_test
from evolve.evaluators.statistics import mean, standard_error
from evolve.intervals import Interval, mean_interval
from evolve.program import Evaluation, Outcome, Stage, Task
from evolve.significance import holm


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds.

    Attributes:
        value: The mean.
        interval: Student's; None of one value, or where its ends are no finite numbers.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How a baseline differs from the reference with the same seeds, in the objective.

    Attributes:
        mean: Of the baseline minus the reference, over seeds.
        method: How ``p`` was found.
        p: Two-sided p-value of the hypothesis that differences are as likely one way as the other.
        adjusted: The same after Holm's correction over all baselines that were held against the reference.
    """

    mean: Mean
    method: str
    p: float
    adjusted: float


@dataclass(frozen=True, slots=True)
class Row:
    """One baseline.

    Attributes:
        program: The baseline.
        outcome: ``OK`` if it scored with every seed; otherwise how it failed first.
        failed: With how many seeds it failed.
        feedback: What the evaluator says of that failure, in one line.
        values: The objective by seed, in the order of the seeds; None where it failed.
        objective: Its mean; None for one that failed.
        metrics: Means of the metrics that it has with every seed; empty for one that failed.
        difference: From the reference; None of the reference itself, and where either failed.
        seconds: Wall-clock seconds of one measurement, in the mean.
        artifacts: Names of the files that the evaluator wrote with the first seed.
    """

    program: BaselineProgram
    outcome: Outcome
    failed: int
    feedback: str
    values: tuple[float | None, ...]
    objective: Mean | None
    metrics: Mapping[str, Mean]
    difference: Difference | None
    seconds: float
    artifacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """All baselines that were chosen.

    Attributes:
        task: Whose they are.
        seeds: What they were measured with.
        reference: Name of the one that the others are held against.
        rows: In the task's order.
        stages: The parts of the evaluator that measured.
        machines: Where, in words, with the number of measurements made there.
        isolation: Sandbox levels, in words.
    """

    task: Task
    seeds: tuple[int, ...]
    reference: str
    rows: tuple[Row, ...]
    stages: tuple[Stage, ...]
    machines: Mapping[str, int]
    isolation: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Metrics that tables show: those that the task chose, or else all that any baseline has."""
        chosen = self.task.baselines_table.metrics
        return chosen or tuple(dict.fromkeys(name for row in self.rows for name in row.metrics))

    def mean_of(self, row: Row, metric: str) -> Mean | None:
        """Returns a baseline's mean of a metric, or of the objective by its name."""
        return row.metrics.get(metric, row.objective if metric == self.task.objective.metric else None)


def read_results(plan: Plan, journal: Journal) -> Results:
    """Reads what was measured.

    Args:
        plan: What was to be measured; all of it has been.
        journal: Where that is kept.
    """
    found = [(program, [journal.find(program, seed) for seed in plan.seeds]) for program in plan.selection.programs]
    known = [[measurement for measurement in each if measurement is not None] for _, each in found]
    rows = [
        _row(program, [measurement.evaluation for measurement in each], each[0].artifacts or ())
        for (program, _), each in zip(found, known, strict=True)
    ]
    every = [measurement for each in known for measurement in each]
    return Results(
        plan.task,
        tuple(plan.seeds),
        plan.selection.reference,
        tuple(_with_differences(rows, plan.selection.reference)),
        # What failed in another stage was still asked for by the same.
        tuple(sorted({measurement.evaluation.stage for measurement in every} - {Stage.SMOKE})),
        Counter(measurement.machine for measurement in every),
        tuple(sorted({str(measurement.evaluation.isolation) for measurement in every if measurement.evaluation.isolation})),
    )


def student_mean(values: Sequence[float]) -> Mean:
    """Puts Student's interval around a mean.

    Args:
        values: One or more finite values.
    """
    centre, error = mean(values), standard_error(values)
    interval = None if error is None else mean_interval(centre, error, len(values))
    return Mean(centre, interval if interval is not None and all(map(math.isfinite, interval)) else None)


def in_short(feedback: str) -> str:
    """Takes the first line of a feedback; where that announces a traceback, with its last line, which says what was raised."""
    lines = feedback.strip().splitlines() or [""]
    return f"{lines[0]} {lines[-1].strip()}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]


def _row(program: BaselineProgram, evaluations: Sequence[Evaluation], artifacts: tuple[str, ...]) -> Row:
    failures = [evaluation for evaluation in evaluations if not evaluation.ok]
    objectives = [evaluation.objective for evaluation in evaluations if evaluation.objective is not None]
    shared = set.intersection(*(set(evaluation.metrics) for evaluation in evaluations)) if not failures else set()
    return Row(
        program,
        outcome=failures[0].outcome if failures else Outcome.OK,
        failed=len(failures),
        feedback=in_short(failures[0].feedback) if failures else "",
        values=tuple(evaluation.objective for evaluation in evaluations),
        objective=None if failures else student_mean(objectives),
        metrics={
            name: student_mean([evaluation.metrics[name].value for evaluation in evaluations])
            for name in evaluations[0].metrics
            if name in shared
        },
        difference=None,
        seconds=mean([evaluation.wall_s for evaluation in evaluations]),
        artifacts=artifacts,
    )


def _with_differences(rows: Sequence[Row], reference: str) -> list[Row]:
    """Holds every baseline that scored against the reference, all tests corrected together."""
    against = next(row for row in rows if row.program.name == reference)
    gaps = {row.program.name: _gaps(row, against) for row in rows if row is not against}
    gaps = {name: each for name, each in gaps.items() if each and all(map(math.isfinite, each))}
    tests = [paired_test(each) for each in gaps.values()]
    adjusted = holm([test.p for test in tests])
    found = {
        name: Difference(student_mean(each), test.method, test.p, corrected)
        for (name, each), test, corrected in zip(gaps.items(), tests, adjusted, strict=True)
    }
    return [replace(row, difference=found.get(row.program.name)) for row in rows]


def _gaps(row: Row, against: Row) -> list[float]:
    """Differences seed by seed; none where either failed."""
    if row.failed or against.failed:
        return []
    pairs = zip(row.values, against.values, strict=True)
    return [mine - theirs for mine, theirs in pairs if mine is not None and theirs is not None]
