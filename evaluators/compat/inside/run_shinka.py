"""Runs ``evaluate.py`` of a ShinkaEvolve task as its framework does, and reads the two files that it writes."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from typing import Any


def run(evaluator: str, program: str, _orders: dict[str, Any]) -> dict[str, Any]:  # Any: see entry.py
    """Scores a program.

    Their rules: ``python evaluate.py --program_path P --results_dir R`` writes ``correct.json`` (``correct``, ``error``) and
    ``metrics.json`` (``combined_score``, ``public``, ``private``, ``text_feedback``); its exit status means nothing.
    """
    report = importlib.import_module("_evolve_inside.report")
    scratch = os.path.dirname(os.path.dirname(program))
    results = os.path.join(scratch, "results")
    sys.argv = [evaluator, "--program_path", program, "--results_dir", results]
    try:
        runpy.run_path(evaluator, run_name="__main__")
    except SystemExit as error:
        failure = report.failure(error, scratch)
        if failure["blame"] == "program":
            return _failed(failure)
        # argparse and the like: its message is on standard error.
        if error.code not in (0, None) and not os.path.exists(os.path.join(results, "metrics.json")):
            text = f"{os.path.basename(evaluator)} exited with status {error.code} and wrote no metrics.json"
            return _failed({"blame": "evaluator", "text": text})
    except Exception as error:  # noqa: BLE001 - reported outside
        return _failed(report.failure(error, scratch, "answer"))
    return _read(results)


def _failed(failure: dict[str, str]) -> dict[str, Any]:  # Any: see entry.py
    return {"metrics": {}, "artifacts": {}, "failure": failure}


def _read(results: str) -> dict[str, Any]:  # Any: see entry.py
    correct, metrics = _table(os.path.join(results, "correct.json")), _table(os.path.join(results, "metrics.json"))
    if correct is None or metrics is None:
        name = "correct.json" if correct is None else "metrics.json"
        return _failed({"blame": "evaluator", "text": f"evaluate.py wrote no {name} that holds a JSON object"})
    public = metrics.get("public")
    shown = dict(public) if isinstance(public, dict) else {}
    if "combined_score" in metrics:
        shown["combined_score"] = metrics["combined_score"]
    # What is private is not to reach a prompt, so it does not leave the sandbox.
    artifacts = {key: metrics[key] for key in ("text_feedback", "all_validation_errors") if metrics.get(key)}
    if correct.get("correct") is True:
        return {"metrics": shown, "artifacts": artifacts, "failure": None}
    blame = "program" if correct.get("raised_in") == "program" else "answer"
    text = str(correct.get("error") or "correct.json says that the result is not correct")
    return {"metrics": shown, "artifacts": artifacts, "failure": {"blame": blame, "text": text}}


def _table(path: str) -> dict[str, Any] | None:  # Any: JSON values
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
