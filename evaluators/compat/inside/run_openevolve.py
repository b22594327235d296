"""Runs an evaluator of OpenEvolve or SkyDiscover: ``evaluate(program_path)``, or its stages one after the other.

Their rules, as OpenEvolve 0.4 and SkyDiscover 0.1 document and apply them: with cascade evaluation on and ``evaluate_stage1``
defined, a stage runs when the one before it passed its threshold; metrics and artifacts of the stages are merged; a later
stage that raises leaves the earlier ones' metrics with ``stageN_passed`` = 0.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from typing import Any, NamedTuple


class Result(NamedTuple):
    """What one stage returned."""

    metrics: dict[str, Any]  # Any: as the evaluator made it
    artifacts: dict[str, Any]


def run(evaluator: str, program: str, orders: dict[str, Any]) -> dict[str, Any]:  # Any: see entry.py
    """Scores a program.

    Args:
        evaluator: Path of the file that defines ``evaluate``.
        program: Path of the program.
        orders: ``thresholds`` of the cascade (None: no cascade), ``max_stages``, and ``arguments`` for ``evaluate``.
    """
    os.environ["ENABLE_ARTIFACTS"] = "true"
    module = _load(evaluator)
    thresholds = orders["thresholds"]
    try:
        if thresholds is None or not hasattr(module, "evaluate_stage1"):
            found = _result(module.evaluate(program, **orders["arguments"]))
        else:
            found = _cascade(module, program, thresholds, orders["max_stages"])
    except Exception as error:  # noqa: BLE001 - reported outside
        report = importlib.import_module("_evolve_inside.report")
        failure = report.failure(error, os.path.dirname(os.path.dirname(program)), "answer")
        return {"metrics": {}, "artifacts": {}, "failure": failure}
    return {"metrics": found.metrics, "artifacts": found.artifacts, "failure": None}


def _load(evaluator: str) -> Any:  # Any: a module
    # The name that OpenEvolve gives it; classes that are pickled look it up.
    name = "evaluation_module"
    spec = importlib.util.spec_from_file_location(name, evaluator)
    if spec is None or spec.loader is None:
        raise ImportError(f"{evaluator} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not hasattr(module, "evaluate"):
        raise AttributeError(f"{os.path.basename(evaluator)} does not define evaluate(program_path)")
    return module


def _result(value: object) -> Result:
    if isinstance(value, dict):
        metrics = dict(value)
        artifacts = metrics.pop("artifacts", {}) if isinstance(metrics.get("artifacts"), dict) else {}
        return Result(metrics, artifacts)
    # By its shape, not its class: the evaluator may have one of its own.
    made = getattr(value, "metrics", None)
    if isinstance(made, dict):
        return Result(dict(made), dict(getattr(value, "artifacts", None) or {}))
    raise TypeError(f"evaluate must return a dict or an EvaluationResult, it returned an object of type {type(value).__name__}")


def _cascade(module: Any, program: str, thresholds: list[float], max_stages: int) -> Result:  # Any: a module
    found = _result(module.evaluate_stage1(program))
    for number in range(2, max_stages + 1):
        if len(thresholds) < number - 1 or not _passes(found.metrics, thresholds[number - 2]):
            note = f"stopped after stage {number - 1}"
            return Result(found.metrics, {**found.artifacts, "cascade": note})
        stage = getattr(module, f"evaluate_stage{number}", None)
        if stage is None:
            return found
        try:
            further = _result(stage(program))
        except Exception as error:  # noqa: BLE001 - theirs keep the earlier stages' results
            failed = {f"stage{number}_stderr": str(error), f"stage{number}_traceback": traceback.format_exc()}
            metrics = {**found.metrics, f"stage{number}_passed": 0.0}
            return Result(metrics, {**found.artifacts, **failed, "failure_stage": f"stage{number}"})
        merged = {**_numbers(found.metrics), **_numbers(further.metrics)}
        found = Result(merged, {**found.artifacts, **further.artifacts})
    return found


def _numbers(metrics: dict[str, Any]) -> dict[str, Any]:  # Any: see Result
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float) and name != "error"}


def _passes(metrics: dict[str, Any], threshold: float) -> bool:  # Any: see Result
    """Compares the combined score, or else the mean of all numbers, with a stage's threshold."""
    combined = metrics.get("combined_score")
    if isinstance(combined, int | float):
        return float(combined) >= threshold
    values = list(_numbers(metrics).values())
    return bool(values) and sum(values) / len(values) >= threshold
