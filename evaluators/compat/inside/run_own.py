"""Runs the ``evaluate.py`` of a task with ``shared_process = true``: the program is imported beside it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any


def run(evaluator: str, program: str, orders: dict[str, Any]) -> dict[str, Any]:  # Any: see entry.py
    """Scores a program with ``evaluate(program)``, where ``program`` is a stand-in that calls in this very process."""
    names = importlib.import_module("evolve.evaluators")
    own = os.path.join(os.path.dirname(program), "")
    sys.path.insert(0, own)  # for siblings of a program of several files
    module = _load("evaluate", evaluator)
    if not callable(getattr(module, "evaluate", None)):
        raise AttributeError("evaluate.py does not define evaluate(program)")
    try:
        score = module.evaluate(names.SharedProgram(orders["program_files"], lambda: _load("program", program)))
    except names.Invalid as invalid:
        return {"metrics": {}, "artifacts": {}, "failure": {"blame": "answer", "text": str(invalid)}}
    if not isinstance(score, names.Score):
        raise TypeError(f"evaluate must return a Score, or raise Invalid; it returned an object of type {type(score).__name__}")
    metrics = {name: value.value if isinstance(value, names.Metric) else value for name, value in score.metrics.items()}
    directions = {name: str(value.direction) for name, value in score.metrics.items() if getattr(value, "direction", None)}
    artifacts = {"feedback": score.feedback} if score.feedback else {}
    found = {**metrics, "objective": score.objective}
    return {"metrics": found, "artifacts": artifacts, "failure": None, "directions": directions}


def _load(name: str, path: str) -> Any:  # Any: a module
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{os.path.basename(path)} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
