"""Evaluations as plain data, for the way between an executor and its workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolve.executors.base import Evaluated
from evolve.program import Direction, Evaluation, Files, Isolation, Metric, Outcome, Stage

#: Between trusted processes: only there to notice a stream that has gone astray.
MESSAGE_LIMIT_BYTES = 2**30
#: Of one evaluation, feedback, figure and artifacts included.
RESULT_LIMIT_BYTES = 16 * 2**20


def request(
    stage: Stage, files: Files, seed: int, *, artifacts: bool = False, fresh: bool = False
) -> dict[str, Any]:  # Any: plain data
    """Makes what a worker, here or on a node, is asked for: one program, and what to do with it.

    Args:
        stage: `Stage.EVALUATE`, `Stage.HOLDOUT` or `Stage.PAIRED`.
        files: The program's source.
        seed: See `Executor`.
        artifacts: See `Executor.evaluate`.
        fresh: See `Executor.evaluate`.
    """
    return {"stage": stage.value, "files": dict(files), "seed": seed, "artifacts": artifacts, "fresh": fresh}


def to_plain(evaluated: Evaluated) -> dict[str, Any]:  # Any: plain data
    """Turns an evaluation into what `from_plain` reads."""
    evaluation = evaluated.evaluation
    return {
        "outcome": evaluation.outcome.value,
        "objective": evaluation.objective,
        "metrics": {
            name: (metric.value, metric.direction.value if metric.direction else None)
            for name, metric in evaluation.metrics.items()
        },
        "feedback": evaluation.feedback,
        "cpu_s": evaluation.cpu_s,
        "wall_s": evaluation.wall_s,
        "isolation": evaluation.isolation.value if evaluation.isolation else None,
        "evaluator_sha256": evaluation.evaluator_sha256,
        "timing_dependent": evaluation.timing_dependent,
        "stage": evaluation.stage.value,
        "instances": dict(evaluation.instances),
        "values": list(evaluation.values),
        "standard_error": evaluation.standard_error,
        "shared_process": evaluation.shared_process,
        "figure_png": evaluated.figure_png,
        "artifacts": dict(evaluated.artifacts),
    }


def from_plain(plain: Mapping[str, Any]) -> Evaluated:  # Any: plain data
    """Reads what `to_plain` made."""
    metrics = {
        name: Metric(value, Direction(direction) if direction else None) for name, (value, direction) in plain["metrics"].items()
    }
    evaluation = Evaluation(
        outcome=Outcome(plain["outcome"]),
        objective=plain["objective"],
        metrics=metrics,
        feedback=plain["feedback"],
        cpu_s=plain["cpu_s"],
        wall_s=plain["wall_s"],
        isolation=Isolation(plain["isolation"]) if plain["isolation"] else None,
        evaluator_sha256=plain["evaluator_sha256"],
        timing_dependent=plain["timing_dependent"],
        stage=Stage(plain["stage"]),
        instances=plain["instances"],
        values=tuple(plain["values"]),
        standard_error=plain["standard_error"],
        shared_process=plain["shared_process"],
    )
    return Evaluated(evaluation, plain["figure_png"], plain["artifacts"])
