"""What most evaluations do not have, in one column: stage, instances, repeated values, verification."""

from __future__ import annotations

import json
from typing import Any

from evolve.program import Evaluation, Stage


def details_text(evaluation: Evaluation) -> str | None:
    """Writes down what most evaluations do not have; None where all of it is as usual."""
    details: dict[str, object] = {}
    if evaluation.stage is not Stage.EVALUATE:
        details["stage"] = evaluation.stage.value
    if evaluation.instances:
        details["instances"] = dict(evaluation.instances)
    if evaluation.values:
        details["values"] = list(evaluation.values)
    if evaluation.standard_error is not None:
        details["standard_error"] = evaluation.standard_error
    if evaluation.verified is not None:
        details["verified"] = evaluation.verified
    if evaluation.shared_process:
        details["shared_process"] = True
    return json.dumps(details, separators=(",", ":")) if details else None


def details_of(text: str | None) -> dict[str, Any]:  # Any: an evaluation's fields by name
    """Reads the fields of an evaluation that `evaluation_values` wrote into one column."""
    details: dict[str, Any] = json.loads(text) if text else {}
    if "stage" in details:
        details["stage"] = Stage(details["stage"])
    if "values" in details:
        details["values"] = tuple(details["values"])
    return details
