"""Stands in for ``run_shinka_eval`` of ShinkaEvolve 0.0.7, written from its documented contract.

What differs: runs are sequential (``run_workers`` is accepted), nothing is plotted, ``extra_data`` is dropped, and early
stopping is not applied (all runs are made, which costs time and changes no score that is not itself stopped early).
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

#: What their metrics hold when the experiment could not be run; only ever written beside ``correct: false``.
_ON_ERROR: dict[str, Any] = {
    "combined_score": 0.0,
    "execution_time_mean": 0.0,
    "execution_time_std": 0.0,
    "num_successful_runs": 0,
    "num_valid_runs": 0,
    "num_invalid_runs": 0,
    "all_validation_errors": [],
}

Validate = Callable[[Any], tuple[bool, str | None]]  # Any: whatever the experiment returns


class _Runs(NamedTuple):
    results: list[Any]  # Any: whatever the experiment returns
    times_s: list[float]
    errors: list[str]
    n_invalid: int


def load_program(program_path: str) -> Any:  # Any: a module
    """Imports the program by path."""
    spec = importlib.util.spec_from_file_location("program", program_path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{program_path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["program"] = module  # pickle and dataclasses look it up
    spec.loader.exec_module(module)
    return module


def save_json_results(results_dir: str, metrics: dict[str, Any], correct: bool, error: str | None = None) -> None:
    """Writes ``correct.json`` and ``metrics.json``."""
    _save(results_dir, metrics, {"correct": correct, "error": error})


def _save(results_dir: str, metrics: dict[str, Any], correct: dict[str, Any]) -> None:
    os.makedirs(results_dir, exist_ok=True)
    for name, table in (("correct", correct), ("metrics", metrics)):
        with open(os.path.join(results_dir, f"{name}.json"), "w", encoding="utf-8") as file:
            json.dump(table, file, indent=4, default=_plain)


def _plain(value: Any) -> Any:  # Any: what json does not know
    """Writes numpy's scalars and arrays as numbers and lists; their own writer would raise."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def run_shinka_eval(
    program_path: str,
    results_dir: str,
    experiment_fn_name: str,
    num_runs: int,
    get_experiment_kwargs: Callable[[int], dict[str, Any]] | None = None,
    aggregate_metrics_fn: Callable[[list[Any]], dict[str, Any]] | None = None,
    validate_fn: Validate | None = None,
    plotting_fn: object = None,
    default_metrics_on_error: dict[str, Any] | None = None,
    early_stop_method: object = None,
    early_stop_threshold: float | None = None,
    early_stop_score_fn: object = None,
    early_stop_kwargs: object = None,
    run_workers: int = 1,
    max_workers_cap: int | None = None,
) -> tuple[dict[str, Any], bool, str | None]:
    """Runs an experiment so many times, checks and aggregates the results, and writes the two files.

    Without ``get_experiment_kwargs`` run *i* (from 0) gets ``seed=i + 1``. Anything that raises makes the result incorrect.

    Returns:
        Metrics, whether the result is correct, and the first error.
    """
    if run_workers < 1:
        raise ValueError("run_workers must be >= 1")
    try:
        experiment = _experiment(program_path, experiment_fn_name)
        runs = _run_all(experiment, num_runs, get_experiment_kwargs, validate_fn)
        metrics = _aggregate(runs, aggregate_metrics_fn)
        if validate_fn is not None:
            counts = {"num_valid_runs": num_runs - runs.n_invalid, "num_invalid_runs": runs.n_invalid}
            metrics.update(counts, all_validation_errors=runs.errors)
        error = f"Validation failed: {runs.errors[0]}" if runs.errors else None
        error = error or _not_finite(metrics)
        correct, where = runs.n_invalid == 0 and error is None, None
    except Exception as raised:  # noqa: BLE001 - their contract: it is written into correct.json
        report = importlib.import_module("_evolve_inside.report")
        failure = report.failure(raised, os.path.dirname(os.path.dirname(os.path.abspath(program_path))), "answer")
        metrics = {**_ON_ERROR, **(default_metrics_on_error or {})}
        correct, error, where = False, failure["text"], failure["blame"]
    metrics.pop("extra_data", None)
    _save(results_dir, metrics, {"correct": correct, "error": error, "raised_in": where})
    return metrics, correct, error


def _experiment(program_path: str, name: str) -> Callable[..., Any]:
    module = load_program(program_path)
    if not hasattr(module, name):
        raise AttributeError(f"experiment function {name!r} not found in {os.path.basename(program_path)}")
    found: Callable[..., Any] = getattr(module, name)
    return found


def _run_all(
    experiment: Callable[..., Any], n_runs: int, keywords: Callable[[int], dict[str, Any]] | None, validate: Validate | None
) -> _Runs:
    results, times_s, errors, n_invalid = [], [], [], 0
    for index in range(n_runs):
        arguments = keywords(index) if keywords is not None else {"seed": index + 1}
        started = time.perf_counter()
        result = experiment(**arguments)
        times_s.append(time.perf_counter() - started)
        results.append(result)
        valid, why = validate(result) if validate is not None else (True, None)
        if not valid:
            n_invalid += 1
            if why and why not in errors:
                errors.append(str(why))
    return _Runs(results, times_s, errors, n_invalid)


def _aggregate(runs: _Runs, aggregate: Callable[[list[Any]], dict[str, Any]] | None) -> dict[str, Any]:
    if aggregate is not None:
        metrics = dict(aggregate(runs.results))
    else:
        metrics = {
            "num_successful_runs": len(runs.results),
            "first_run_result_type": str(type(runs.results[0])) if runs.results else "N/A",
            "raw_results_preview": str(runs.results[:2]) if runs.results else "N/A",
        }
    metrics["execution_time_mean"] = statistics.fmean(runs.times_s) if runs.times_s else 0.0
    metrics["execution_time_std"] = statistics.pstdev(runs.times_s) if runs.times_s else 0.0
    return metrics


def _not_finite(metrics: dict[str, Any]) -> str | None:
    score = metrics.get("combined_score", 0.0)
    return None if math.isfinite(score) else f"combined_score is {score}"
