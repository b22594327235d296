"""Scores programs whose evaluator shares their process: all of it inside the sandbox, the verdict outside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from evolve.evaluators.base import IsolatedProgram, Score
from evolve.evaluators.compat import folder, verdict
from evolve.program import Files

_INSIDE = "_evolve_inside"
_PROGRAM = "program/"
_SOURCES = Path(__file__).with_name("inside")
_RUNNERS = ("entry", "report", "run_openevolve", "run_shinka", "run_own")
#: Modules that evaluators import, and what stands in for them inside.
_FRAMEWORKS = {
    "openevolve/__init__.py": "package",
    "openevolve/evaluation_result.py": "evaluation_result",
    "skydiscover/__init__.py": "package",
    "skydiscover/evaluation/__init__.py": "evaluation_result",
    "skydiscover/evaluation/evaluation_result.py": "evaluation_result",
    "shinka/__init__.py": "package",
    "shinka/core/__init__.py": "shinka_eval",
    "shinka/core/wrap_eval.py": "shinka_eval",
    "evolve/evaluators/__init__.py": "evolve_names",
}
_ALIASES = {
    "evolve/__init__.py": "",
    "evolve/evaluators/base.py": "from evolve.evaluators import *\n",
}

#: The file that calls go to, for the sandbox.
ENTRY = f"{_INSIDE}/entry.py"


class Framework(StrEnum):
    """Whose format a task's folder has."""

    EVOLVE = "evolve"
    OPENEVOLVE = "openevolve"
    SKYDISCOVER = "skydiscover"
    SHINKAEVOLVE = "shinkaevolve"


@dataclass(frozen=True, slots=True)
class SharedEvaluator:
    """Scores a program inside the sandbox, with the evaluator of a task's folder; stands where a task's `evaluate` stands.

    Attributes:
        framework: Whose rules apply.
        folder: The task's folder; a copy of it lies in the sandbox during each evaluation.
        evaluator: Path of the evaluator in it.
        program: Path of the program's first file in it.
        objective: Name of the metric that selection optimises.
        thresholds: Of a cascade's stages; None runs ``evaluate`` alone.
        max_stages: Stages of a cascade at most.
        arguments: Keyword arguments for ``evaluate``.
        ignored: Settings of the folder's configuration that mean nothing here.
    """

    framework: Framework
    folder: Path
    evaluator: str
    program: str
    objective: str = "combined_score"
    thresholds: tuple[float, ...] | None = None
    max_stages: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)  # Any: values of a YAML file
    ignored: tuple[str, ...] = ()

    def surroundings(self, files: Files) -> Files:
        """Returns what lies in the sandbox's working folder: our side of it, and the program in a folder of its own."""
        return {**_inside_files(), **{_PROGRAM + path: text for path, text in files.items()}}

    def __call__(self, program: IsolatedProgram) -> Score:
        """Scores a program that was surrounded.

        Raises:
            Invalid: If its result does not count.
            ProgramFailed: If it, or the evaluator, failed.
        """
        content = folder.read(self.folder)
        orders = {
            "framework": self.framework.value,
            "folder": self.folder.name,
            "files": dict(content.files),
            "executable": list(content.executable),
            "evaluator": self.evaluator,
            "program": self.program,
            "program_files": {
                path.removeprefix(_PROGRAM): text for path, text in program.files.items() if path.startswith(_PROGRAM)
            },
            "thresholds": None if self.thresholds is None else list(self.thresholds),
            "max_stages": self.max_stages,
            "arguments": dict(self.arguments),
        }
        mean_instead = self.framework in (Framework.OPENEVOLVE, Framework.SKYDISCOVER)
        return verdict.read(program.call("evaluate_folder", orders), self.objective, mean_instead=mean_instead)

    def sha256(self, program: tuple[str, ...]) -> str:
        """Hashes what decides a score: the folder but its program, the settings above, and our side inside the sandbox.

        Args:
            program: Files of the initial program.

        Raises:
            TaskError: If the folder cannot be read.
        """
        settings = [self.framework, self.evaluator, self.objective, self.thresholds, self.max_stages, dict(self.arguments)]
        parts = [folder.digest(folder.read(self.folder), frozenset(program)), json.dumps(settings, sort_keys=True, default=str)]
        parts += [f"{path}\n{text}" for path, text in sorted(_inside_files().items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _inside_files() -> dict[str, str]:
    own = {f"{_INSIDE}/{name}.py": _source(name) for name in _RUNNERS}
    stand_ins = {f"{_INSIDE}/frameworks/{path}": _source(name) for path, name in _FRAMEWORKS.items()}
    return {**own, **stand_ins, **{f"{_INSIDE}/frameworks/{path}": text for path, text in _ALIASES.items()}}


def _source(name: str) -> str:
    return (_SOURCES / f"{name}.py").read_text(encoding="utf-8")
