"""Reads loads that a server recorded: the JSON of the ADRS study of expert placement (arXiv 2510.06189).

The file is an object whose ``load_history`` is a list with an object for each step, and that one's ``logical_expert_load`` is a
list of L lists of E whole numbers. Whatever else is in there is passed over.

The published file has 223 MB. Reading one of that size, made of 3412 steps of 58 x 256 loads, took 3 s and 630 MB of memory: the
text is held whole, and beside it all steps' loads as int64. Each step's become an array as soon as they are parsed, since Python's
lists of them may take four times as much.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

_HISTORY = "load_history"
_LOADS = "logical_expert_load"

#: More than any server counts in a step, and low enough that sums of a million steps fit into int64.
_MOST = 2**40


def step_loads(path: Path) -> list[np.ndarray]:
    """Reads the loads of each step.

    Args:
        path: The JSON.

    Returns:
        ``(L, E)`` int64 for each step, all of one shape; at least one.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no such JSON; the message says what is wrong, in which step, layer and expert (counted from 0).
    """
    with path.open(encoding="utf-8") as file:
        try:
            content = json.load(file, object_hook=_compact)
        except RecursionError as error:
            raise ValueError("it is nested too deeply for JSON of loads") from error
        except ValueError as error:
            raise ValueError(f"it is not JSON: {error}") from error
    history = content.get(_HISTORY) if isinstance(content, dict) else None
    if not isinstance(history, list) or not history:
        raise ValueError(f"expected an object with {_HISTORY!r}, a list of steps that is not empty")
    del content
    loads = [_step(entry, step) for step, entry in enumerate(history)]
    for step, load in enumerate(loads):
        if load.shape != loads[0].shape:
            raise ValueError(
                f"step {step} has {load.shape[0]} layers of {load.shape[1]} experts, but step 0 has {loads[0].shape[0]} of "
                f"{loads[0].shape[1]}; expected the same in all"
            )
    return loads


def _compact(entry: dict[str, Any]) -> dict[str, Any]:  # Any: JSON of unknown origin
    """Keeps nothing of a step but its loads, as an array if they make one; `_step`, which knows the step, judges the others."""
    if _LOADS not in entry:
        return entry
    try:
        array = np.array(entry[_LOADS])
    except (ValueError, OverflowError):
        return {_LOADS: entry[_LOADS]}
    return {_LOADS: array if array.dtype.kind in "iuf" and array.ndim == 2 and array.size else entry[_LOADS]}


def _step(entry: object, step: int) -> np.ndarray:
    if not isinstance(entry, dict) or _LOADS not in entry:
        raise ValueError(f"step {step} has no {_LOADS!r}")
    loads = entry[_LOADS]
    if not isinstance(loads, np.ndarray):
        raise ValueError(_fault(loads, step))
    wrong = ~((loads >= 0) & (loads <= _MOST) & (loads == np.floor(loads)))
    if wrong.any():
        layer, expert = np.argwhere(wrong)[0].tolist()
        raise ValueError(_bad_value(step, layer, expert, loads[layer, expert].item()))
    result: np.ndarray = loads.astype(np.int64, copy=False)
    return result


def _fault(loads: object, step: int) -> str:
    """Says why loads make no matrix of numbers."""
    if not isinstance(loads, list) or not loads:
        return f"step {step}: expected {_LOADS!r} to be a list of lists, one for each layer; got {_short(loads)}"
    for layer, row in enumerate(loads):
        if not isinstance(row, list) or not row:
            return f"step {step}, layer {layer}: expected a list of the experts' loads, got {_short(row)}"
        for expert, value in enumerate(row):
            if type(value) not in (int, float) or not 0 <= value <= _MOST:
                return _bad_value(step, layer, expert, value)
        if len(row) != len(loads[0]):
            return f"step {step}, layer {layer} has {len(row)} experts, but layer 0 has {len(loads[0])}; expected the same in all"
    return f"step {step}: expected {_LOADS!r} to be a list of lists of numbers"


def _bad_value(step: int, layer: int, expert: int, value: object) -> str:
    return f"step {step}, layer {layer}, expert {expert}: expected a whole number from 0 to 2^40, got {_short(value)}"


def _short(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
