"""Recognises other frameworks' task folders and reads them as tasks, unchanged.

A folder without ``task.toml`` is, in this order:

* a task of OpenEvolve or SkyDiscover if it holds ``initial_program.*`` and an evaluator (``evaluator.py``,
  ``evaluator/evaluator.py`` or ``eval/evaluator.py``) that defines ``evaluate``; SkyDiscover's if the evaluator lies in a folder or
  imports ``skydiscover``, or ``config.yaml`` has a key that only SkyDiscover knows;
* a task of ShinkaEvolve if it holds ``initial.*`` and an ``evaluate.py`` that imports ``shinka`` or reads ``--results_dir``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from evolve.errors import ConfigError, TaskError
from evolve.evaluators.compat import Framework, SharedEvaluator
from evolve.program import Objective, Task
from evolve.settings import plain
from evolve.tasks.base import check_source
from evolve.tasks.foreign_settings import Settings, openevolve_settings, shinka_settings, skydiscover_keys

logger = logging.getLogger(__name__)

_EVALUATORS = ("evaluator.py", "evaluator/evaluator.py", "eval/evaluator.py")
#: Beside each other in a folder, the first of these is the program.
_SUFFIXES = (
    ".py",
    ".cpp",
    ".cc",
    ".c",
    ".rs",
    ".go",
    ".jl",
    ".java",
    ".js",
    ".ts",
    ".swift",
    ".f90",
    ".sv",
    ".lean",
    ".md",
    ".txt",
)
#: Slow to import and harmless to share; others are imported by each evaluation anew.
_PRELOADED = (
    *("numpy", "pandas", "networkx", "sympy", "scipy", "sklearn", "matplotlib"),
    *(f"scipy.{name}" for name in ("optimize", "spatial", "stats", "linalg", "signal", "integrate", "interpolate", "sparse")),
    *("scipy.special", "scipy.ndimage", "scipy.spatial.distance", "matplotlib.pyplot"),
)


class Found(NamedTuple):
    """What a folder holds.

    Attributes:
        framework: Whose task it is.
        program: Path of the initial program in it.
        evaluator: Path of the evaluator in it.
    """

    framework: Framework
    program: str
    evaluator: str


def recognise(folder: Path) -> Found | None:
    """Tells whose task a folder without ``task.toml`` is; None if nobody's."""
    program, evaluator = _initial(folder, "initial_program"), _openevolve_evaluator(folder)
    if program is not None and evaluator is not None:
        text = _text(folder / evaluator)
        is_sky = "/" in evaluator or "skydiscover" in text or bool(skydiscover_keys(folder))
        return Found(Framework.SKYDISCOVER if is_sky else Framework.OPENEVOLVE, program, evaluator)
    program = _initial(folder, "initial")
    if program is not None and _is_shinka(folder / "evaluate.py"):
        return Found(Framework.SHINKAEVOLVE, program, "evaluate.py")
    return None


def what_is_missing(folder: Path) -> str:
    """Says, for a folder that is nobody's task, what it would take; as the end of a message."""
    if any(folder.glob("initial_program.*")) and any((folder / name).is_dir() for name in ("evaluator", "eval")):
        return (
            "it looks like a SkyDiscover task whose evaluator is a container; what runs here is an evaluator.py that defines "
            "evaluate(program_path)"
        )
    if any(folder.glob("initial.*")) and (folder / "evaluate.py").is_file():
        return (
            "it holds initial.* and evaluate.py, but no task.toml (a task of ours), and its evaluate.py neither imports shinka nor "
            "reads --results_dir (one of ShinkaEvolve)"
        )
    return (
        "it holds neither task.toml, nor initial_program.* with evaluator.py (OpenEvolve, SkyDiscover), nor initial.* with "
        "evaluate.py (ShinkaEvolve); `evolve task new NAME` writes a task to start from"
    )


def load(folder: Path, found: Found) -> Task:
    """Reads another framework's task.

    Raises:
        TaskError: If the program does not parse, or a setting that matters has no meaning.
    """
    folder = folder.resolve()
    name = folder.name
    try:
        files = {found.program: (folder / found.program).read_text(encoding="utf-8")}
        settings = _settings(folder, found)
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"task in {name}: {found.program!r} cannot be read: {error}") from error
    except ConfigError as error:
        raise TaskError(f"task in {name}: {error}") from error
    if settings.ignored:
        logger.info("task %s: of its settings, these mean nothing here: %s", name, ", ".join(settings.ignored))
    evaluator = SharedEvaluator(
        framework=found.framework,
        folder=folder,
        evaluator=found.evaluator,
        program=found.program,
        thresholds=settings.thresholds,
        max_stages=settings.max_stages,
        arguments=settings.arguments,
        ignored=settings.ignored,
    )
    limits = settings.limits
    fixed = json.dumps(plain(limits), sort_keys=True)
    sha256 = hashlib.sha256(f"{evaluator.sha256(tuple(files))} {fixed}".encode()).hexdigest()
    return Task(
        name=name,
        files=check_source(files, name),
        objective=Objective(evaluator.objective),
        # What is installed here must not change the hash.
        limits=replace(limits, preload=_preload(folder, found)),
        summary=f"a task of {_TITLES[found.framework]}, run unchanged",
        background=settings.background,
        origin=found.framework.value,
        folder=folder,
        evaluate=evaluator,
        evaluator_sha256=sha256,
        shared_process=True,
    )


_TITLES = {Framework.OPENEVOLVE: "OpenEvolve", Framework.SKYDISCOVER: "SkyDiscover", Framework.SHINKAEVOLVE: "ShinkaEvolve"}


def _settings(folder: Path, found: Found) -> Settings:
    if found.framework is Framework.SHINKAEVOLVE:
        return shinka_settings(folder)
    stages = sum(f"def evaluate_stage{number}" in _text(folder / found.evaluator) for number in (1, 2, 3))
    return openevolve_settings(folder, found.framework, stages)


def _initial(folder: Path, stem: str) -> str | None:
    names = sorted(path.name for path in folder.glob(f"{stem}.*") if path.stem == stem and path.is_file())
    order = {suffix: place for place, suffix in enumerate(_SUFFIXES)}
    return min(names, key=lambda name: order.get(Path(name).suffix, len(order)), default=None)


def _openevolve_evaluator(folder: Path) -> str | None:
    return next((name for name in _EVALUATORS if "def evaluate(" in _text(folder / name)), None)


def _is_shinka(path: Path) -> bool:
    text = _text(path)
    return "shinka" in text or "results_dir" in text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _preload(folder: Path, found: Found) -> tuple[str, ...]:
    """Lists slow modules that evaluator or program import, as far as they are installed."""
    imported: set[str] = set()
    for name in (found.evaluator, found.program):
        if name.endswith(".py"):
            imported |= _imports(_text(folder / name))
    wanted = [name for name in _PRELOADED if name in imported]
    return ("numpy", *(name for name in wanted if name != "numpy" and importlib.util.find_spec(name.partition(".")[0])))


def _imports(text: str) -> set[str]:
    found: set[str] = set()
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
