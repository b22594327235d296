"""Turns what an evaluator returned or raised into plain data of bounded size."""

from __future__ import annotations

import json
import numbers
import os
import traceback
from collections.abc import Mapping
from typing import Any

_TEXT_LIMIT = 4000
_ARTIFACT_LIMIT = 20_000
_MAX_NAMES = 200


def failure(error: BaseException, scratch: str, otherwise: str = "evaluator") -> dict[str, str]:
    """Describes an exception that ended an evaluation.

    Args:
        error: The exception.
        scratch: The sandbox's working folder.
        otherwise: Whom to blame where the exception passed through none of the program's files: ``"answer"`` while an evaluator
            looks at one, which may be of any shape.

    Returns:
        ``blame``: ``"program"`` if it passed through the program's own files, ``"evaluator"`` if a package is missing, or else
        ``otherwise``; ``text``: the end of the traceback without the frames above the evaluator.
    """
    own = os.path.join(scratch, "program") + os.sep
    seen = [frame.filename for part in _chain(error) for frame in traceback.extract_tb(part.__traceback__)]
    missing = missing_package(error)
    blame = "evaluator" if missing else otherwise
    if any(name.startswith(own) for name in seen) or _is_syntax_error_in(error, own):
        blame = "program"
    return {"blame": blame, "text": missing + describe(error, scratch)}


def describe(error: BaseException, scratch: str) -> str:
    """Formats an exception with the frames below the working folder, their paths relative, without ours."""
    report = traceback.TracebackException(type(error), error, error.__traceback__, limit=-200)
    pending = [report]
    while pending:
        part = pending.pop()
        kept = [frame for frame in part.stack if frame.filename.startswith(scratch) and "_evolve_inside" not in frame.filename]
        part.stack = traceback.StackSummary.from_list(kept)
        pending.extend(cause for cause in (part.__cause__, part.__context__) if cause is not None)
    return clean("".join(report.format()).replace(scratch + os.sep, ""))[-_TEXT_LIMIT:]


def missing_package(error: BaseException) -> str:
    """Names the package that an import did not find, as the first line of a message; empty for other errors."""
    for part in _chain(error):
        if isinstance(part, ModuleNotFoundError) and part.name:
            package = part.name.partition(".")[0]
            if package == "evolve":
                return f"{part.name} cannot be had inside the sandbox: only Score, Metric, Direction and Invalid are there\n"
            return (
                f"package {package!r} is not installed in this environment; install what the task needs (pip install {package})\n"
            )
    return ""


def plain_metrics(metrics: object) -> dict[str, Any]:  # Any: numbers, bools and text
    """Keeps numbers, flags and text, by name; whatever else is written as JSON text."""
    if not isinstance(metrics, Mapping):
        return {}
    return {clean(str(name))[:200]: _plain(value) for name, value in list(metrics.items())[:_MAX_NAMES]}


def plain_artifacts(artifacts: object) -> dict[str, str]:
    """Writes every artifact as text; of bytes that are not text the size."""
    if not isinstance(artifacts, Mapping):
        return {}
    return {clean(str(name))[:200]: _text(value)[:_ARTIFACT_LIMIT] for name, value in list(artifacts.items())[:_MAX_NAMES]}


def clean(text: str) -> str:
    """A text without lone surrogates, which cannot cross."""
    return text.encode(errors="replace").decode()


def _plain(value: object) -> Any:  # Any: see plain_metrics
    if value is None or isinstance(value, bool):
        return value
    item = getattr(value, "item", None)  # numpy scalars and arrays of one
    if callable(item) and getattr(value, "size", 0) == 1:
        return _plain(item())
    if isinstance(value, numbers.Real):
        try:
            return float(value)
        except (OverflowError, ValueError):
            return float("nan")
    return _text(value)[:_TEXT_LIMIT]


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return f"({len(value)} bytes)"
    if isinstance(value, str):
        return clean(value)
    try:
        return clean(json.dumps(value, default=str))
    except (TypeError, ValueError):
        return clean(str(value))


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        part = waiting.pop()
        if part is not None and part not in found and len(found) < 20:
            found.append(part)
            waiting += [part.__cause__, part.__context__]
    return found


def _is_syntax_error_in(error: BaseException, folder: str) -> bool:
    return isinstance(error, SyntaxError) and str(error.filename or "").startswith(folder)
