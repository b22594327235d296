"""Takes one call from outside: lays a task's folder out beside the program, runs its evaluator, returns plain data."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

#: Working folder's subfolders. The program lies apart from the task's folder, whose own copy of it may serve as a baseline.
TASK, PROGRAM, RESULTS = "task", "program", "results"
_RUNNERS = {
    "openevolve": "run_openevolve",
    "skydiscover": "run_openevolve",
    "shinkaevolve": "run_shinka",
    "evolve": "run_own",
}


def evaluate_folder(orders: dict[str, Any]) -> dict[str, Any]:  # Any: plain data on either side
    """Scores the program.

    Args:
        orders: ``framework`` (whose format the folder has), ``folder`` (its name), ``files`` (its files, bytes by path),
            ``executable`` (paths of those that can be run), ``evaluator`` and ``program`` (paths in it), and what the framework's
            runner needs.

    Returns:
        ``metrics`` and ``artifacts`` as the evaluator gave them, in plain data; and ``failure``: None, or a dict with ``blame``
        (``"program"``, ``"evaluator"`` or ``"answer"``) and ``text``.
    """
    scratch = os.getcwd()
    folder = os.path.join(scratch, TASK, orders["folder"])
    for path, content in orders["files"].items():
        _write(os.path.join(folder, path), content, executable=path in orders["executable"])
    os.makedirs(os.path.join(scratch, RESULTS))
    evaluator = os.path.join(folder, orders["evaluator"])
    _set_import_path(scratch, os.path.dirname(evaluator), folder)
    os.chdir(folder)
    report = importlib.import_module("_evolve_inside.report")
    runner = importlib.import_module(f"_evolve_inside.{_RUNNERS[orders['framework']]}")
    try:
        reply: dict[str, Any] = runner.run(evaluator, os.path.join(scratch, PROGRAM, orders["program"]), orders)
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit too: reported outside
        reply = {"metrics": {}, "artifacts": {}, "failure": report.failure(error, scratch)}
    return {**reply, "metrics": report.plain_metrics(reply["metrics"]), "artifacts": report.plain_artifacts(reply["artifacts"])}


def _write(path: str, content: bytes, *, executable: bool) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    if executable:
        os.chmod(path, 0o700)


def _set_import_path(scratch: str, *folders: str) -> None:
    """Puts the task's folders and the stand-ins for the frameworks first, here and in Python processes that are started."""
    inside = os.path.join(scratch, "_evolve_inside")
    first = [*dict.fromkeys(folders), os.path.join(inside, "frameworks")]
    sys.path[:] = [*first, *(path for path in sys.path if path not in (*first, scratch)), scratch]
    for_others = os.pathsep.join([*first, *(path for path in sys.path if path not in (*first, scratch))])
    os.environ["PYTHONPATH"] = for_others
    _wrap_python(os.path.join(inside, "bin"), for_others)


def _wrap_python(folder: str, packages: str) -> None:
    """Makes Python processes that evaluators start find the packages, even where they scrub the environment."""
    os.mkdir(folder)
    # The real one: a virtual environment's looks for a file that may be hidden, and the packages are named anyway.
    python = os.path.realpath(sys.executable)
    text = f'#!/bin/sh\nPYTHONPATH="{packages}${{PYTHONPATH:+:$PYTHONPATH}}" exec "{python}" "$@"\n'
    for name in ("python", "python3"):
        path = os.path.join(folder, name)
        _write(path, text.encode(), executable=True)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    sys.executable = path
