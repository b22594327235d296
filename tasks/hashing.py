"""Hashes what decides a score, so that scores of two evaluators are never compared unawares."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from evolve.errors import TaskError
from evolve.program import Build, Limits, Objective, Smoke
from evolve.settings import plain

#: Folders whose Python files never decide a score.
_NOT_EVALUATOR = {"__pycache__", "attacks", "baselines"}


def folder_sha256(folder: Path, program: Sequence[str], data: Sequence[str] = ()) -> str:
    """Hashes what scores a task's programs: its Python files, its data, and the modules of this package that it imports.

    What else lies in the folder (an archive, results that were taken away, texts) does not decide a score.

    Args:
        folder: The task's folder.
        program: Files of the initial program, left out.
        data: Patterns of the files that ``evaluate.py`` reads, such as ``"traces/*.csv"``.

    Raises:
        TaskError: If a pattern of ``data`` matches nothing.
    """
    taken = {path.parent for path in folder.rglob("provenance.json")}
    chosen = {path for path in folder.rglob("*.py") if _is_evaluator(path.relative_to(folder)) and not taken & set(path.parents)}
    for pattern in data:
        found = {path for path in folder.glob(pattern) if path.is_file()}
        if not found:
            raise TaskError(f"task in {folder.name}: data = [{pattern!r}, …] matches no file")
        chosen |= found
    digest = hashlib.sha256()
    texts: list[str] = []
    for path in sorted(chosen):
        name = path.relative_to(folder).as_posix()
        if name in program:
            continue
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
        if path.suffix == ".py":
            texts.append(content.decode(errors="replace"))
    for name, content in sorted(_engines(texts).items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _is_evaluator(relative: Path) -> bool:
    return not _NOT_EVALUATOR & set(relative.parts) and not any(part.startswith(".") for part in relative.parts)


def scoring_sha256(
    evaluator: str,
    objective: Objective,
    limits: Limits,
    *,
    smoke: Smoke = Smoke(),
    build: Build | None = None,
    command: tuple[str, ...] = (),
) -> str:
    """Adds to an evaluator's hash what else decides a score: metric, limits, smoke test, how programs are built and run.

    How long an evaluator may take for itself decides no score, only when it counts as hung.
    """
    limiting = {name: value for name, value in plain(limits).items() if name != "evaluator_timeout_s"}
    named = f"{objective.metric} {objective.direction} {objective.repeats} {objective.tolerance!r}"
    text = f"{evaluator} {named} {json.dumps([limiting, plain(smoke)], sort_keys=True)}"
    if command:
        text += f" {json.dumps([plain(build), list(command)], sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _engines(texts: list[str]) -> Mapping[str, bytes]:
    """Sources of the `evolve.evaluators` modules that some Python texts import, directly or through each other."""
    found: dict[str, bytes] = {}
    waiting = [name for text in texts for name in _imported(text)]
    while waiting:
        name = waiting.pop()
        if name in found or not name.startswith("evolve.evaluators.") or name.startswith("evolve.evaluators.sandbox"):
            continue
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            continue
        if spec is not None and spec.origin is not None:
            found[name] = Path(spec.origin).read_bytes()
            waiting.extend(_imported(found[name].decode()))
    return found


def _imported(text: str) -> Iterator[str]:
    """Names of the modules, and of what might be modules, that a Python text imports."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def function_sha256(function: Callable[..., Any], role: str) -> str:  # Any: see Task.evaluate
    """Hashes a scoring function by its byte code: its source is not always to be had in a notebook.

    Raises:
        TaskError: If it is no function.
    """
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        raise TaskError(f"{role} must be a function, got {type(function).__name__}")
    return hashlib.sha256(_code_text(code).encode()).hexdigest()


def _code_text(value: object) -> str:
    """Writes code and constants down, the same in every process: names and nested code too, sets in order."""
    if isinstance(value, CodeType):
        constants = ",".join(_code_text(constant) for constant in value.co_consts)
        return f"{value.co_code.hex()} {value.co_names} {value.co_varnames} {value.co_freevars} ({constants})"
    if isinstance(value, frozenset):
        return f"frozenset({sorted(_code_text(item) for item in value)})"
    return f"({','.join(_code_text(item) for item in value)})" if isinstance(value, tuple) else repr(value)
