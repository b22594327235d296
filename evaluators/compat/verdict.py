"""Turns what came out of the sandbox into a score. All of it is checked: the program may have written it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from evolve.evaluators.base import Invalid, Metric, ProgramFailed, Score
from evolve.program import Direction, Outcome

_ARTIFACT_SHOWN, _ARTIFACTS_SHOWN = 2000, 8000
_TEXT_SHOWN = 4000
_MAX_METRICS = 100


def read(reply: object, objective: str, *, mean_instead: bool) -> Score:
    """Reads a reply of ``inside/entry.py``.

    Args:
        reply: What crossed.
        objective: Name of the metric that selection optimises.
        mean_instead: Whether the mean of all numeric metrics stands in where that one is missing, as OpenEvolve has it.

    Raises:
        Invalid: If the evaluator found no score, or one that is not a finite number.
        ProgramFailed: If the program or the evaluator raised.
    """
    if not isinstance(reply, dict):
        raise Invalid("the evaluator's report is not in the protocol")
    metrics, artifacts = _table(reply.get("metrics")), _table(reply.get("artifacts"))
    notes = _notes(metrics, objective) + _shown(artifacts)
    if reply.get("failure") is not None:
        _fail(reply["failure"], notes)
    numbers = _numbers(metrics)
    value, chosen = _objective(metrics, numbers, objective, mean_instead=mean_instead)
    error = metrics.get("error")
    if value == 0.0 and isinstance(error, str) and error.strip():
        # Their evaluators write 0.0 where they found nothing, which on a task with negative scores would win.
        others = [note for note in notes if not note.startswith("error: ")]
        raise Invalid(_joined(f"the evaluator reports an error, and its score of 0 does not count: {error[:_TEXT_SHOWN]}", others))
    if not math.isfinite(value):
        raise Invalid(_joined(f"{chosen} is {value}, not a finite number", notes))
    directions = _table(reply.get("directions"))
    kept = {name: _metric(number, directions.get(name)) for name, number in numbers.items() if math.isfinite(number)}
    kept.pop(objective, None)
    note = [] if chosen == objective else [f"objective: {chosen}"]
    return Score(value, dict(list(kept.items())[:_MAX_METRICS]), "\n".join([*note, *notes]))


def _table(value: object) -> Mapping[str, Any]:  # Any: checked where it is used
    return {name: item for name, item in value.items() if isinstance(name, str)} if isinstance(value, dict) else {}


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Numeric metrics; flags count for selection as little as text."""
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float) and not isinstance(value, bool)}


def _objective(
    metrics: Mapping[str, Any], numbers: Mapping[str, float], objective: str, *, mean_instead: bool
) -> tuple[float, str]:
    """Chooses the value that selection optimises, and says which it is."""
    if objective in numbers:
        return numbers[objective], objective
    if objective in metrics:
        raise Invalid(f"{objective} must be a number, got {str(metrics[objective])[:200]!r}")
    if not mean_instead:
        raise Invalid(f"the evaluator reports no {objective}")
    failed = numbers.get("error") == 0.0 and not set(numbers) - {"error", "timeout"}
    if not numbers or failed:
        raise Invalid(f"the evaluator reports no {objective}, and no numeric metrics to take the mean of")
    value = sum(numbers.values()) / len(numbers)
    return value, f"the mean of {', '.join(sorted(numbers))} (there is no {objective})"


def _metric(value: float, direction: object) -> Metric:
    return Metric(value, Direction(direction) if isinstance(direction, str) and direction in set(Direction) else None)


def _fail(failure: object, notes: list[str]) -> NoReturn:
    table = _table(failure)
    text = _joined(str(table.get("text") or "the evaluator says that the result does not count")[:_TEXT_SHOWN], notes)
    match table.get("blame"):
        case "program":
            raise ProgramFailed(Outcome.CRASHED, f"the program raised an exception:\n{text}")
        case "evaluator":
            raise ProgramFailed(Outcome.EVALUATOR_FAILED, f"the task's evaluator failed:\n{text}")
    raise Invalid(text)


def _joined(text: str, notes: list[str]) -> str:
    return "\n".join([text, *notes])


def _notes(metrics: Mapping[str, Any], objective: str) -> list[str]:
    """Lines on the metrics that are not finite numbers."""
    odd = {name: value for name, value in metrics.items() if value is not None and name != objective and not _is_finite(value)}
    return [f"{name}: {str(value)[:_ARTIFACT_SHOWN]}" for name, value in odd.items()][:_MAX_METRICS]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(artifacts: Mapping[str, Any]) -> list[str]:
    """Artifacts as text, each and all of bounded length."""
    lines: list[str] = []
    left = _ARTIFACTS_SHOWN
    for name, value in artifacts.items():
        if not isinstance(value, str) or not value.strip() or left <= 0:
            continue
        text = value if len(value) <= _ARTIFACT_SHOWN else f"{value[:_ARTIFACT_SHOWN]} … ({len(value)} characters)"
        line = text if name == "feedback" else f"{name}: {text}"
        lines.append(line[:left])
        left -= len(line)
    return lines
