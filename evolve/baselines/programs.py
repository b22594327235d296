"""Reads the baselines that a task comes with."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from evolve.errors import ConfigError, TaskError, nearest_hint
from evolve.program import Baseline, Files, Task, source_sha256


@dataclass(frozen=True, slots=True)
class BaselineProgram:
    """A baseline with its source.

    Attributes:
        baseline: What the task says of it.
        paths: Where its text lies: one file, or those that it is joined from, in order.
        files: The whole program.
    """

    baseline: Baseline
    paths: tuple[Path, ...]
    files: Files

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.baseline.name

    @property
    def source_sha256(self) -> str:
        """Hash of the whole program."""
        return source_sha256(self.files)


@dataclass(frozen=True, slots=True)
class Selection:
    """The baselines that are measured, in the task's order.

    Attributes:
        programs: At least one.
        reference: Name of the one that the others are held against.
    """

    programs: tuple[BaselineProgram, ...]
    reference: str


def select(task: Task, only: Sequence[str] = (), reference: str = "") -> Selection:
    """Chooses among a task's baselines and reads them.

    Args:
        task: Whose baselines they are.
        only: Names of those wanted; none for all. A reference that is named is always among them.
        reference: Name of the one that others are held against; empty for the one that the task names, or the first that is
            chosen and expected to score.

    Raises:
        ConfigError: If the task has none, or none of a name.
        TaskError: If one cannot be read.
    """
    if not task.baselines:
        raise ConfigError(
            f"task {task.name} has no baselines; add some to its task.toml, such as\n"
            '  [[baselines]]\n  name = "greedy"\n  path = "baselines/greedy.py"\n  about = "the usual heuristic"'
        )
    known = [baseline.name for baseline in task.baselines]
    reference = reference or task.baselines_table.reference
    for name in (*only, *([reference] if reference else [])):
        if name not in known:
            raise ConfigError(f"task {task.name} has no baseline {name!r}; {nearest_hint(name, known)}")
    chosen = [baseline for baseline in task.baselines if not only or baseline.name in (*only, reference)]
    fit = [baseline.name for baseline in chosen if not baseline.unfit]
    return Selection(tuple(_read(task, baseline) for baseline in chosen), reference or (fit or [chosen[0].name])[0])


def _read(task: Task, baseline: Baseline) -> BaselineProgram:
    modules = (baseline.module,) if baseline.module else baseline.modules
    paths = tuple(_module_path(task, baseline, module) for module in modules) or (_file_path(task, baseline),)
    # An empty line between them, as between functions; a file that does not end its last line must not run into the next.
    text = "\n\n".join(_text(task, baseline, path) for path in paths)
    return BaselineProgram(baseline, paths, {**task.files, next(iter(task.files)): text})


def _text(task: Task, baseline: Baseline, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"task {task.name}: baseline {baseline.name}: {path} cannot be read: {error}") from error


def _file_path(task: Task, baseline: Baseline) -> Path:
    inside = PurePosixPath(baseline.path)
    if task.folder is None or inside.is_absolute() or ".." in inside.parts:
        raise TaskError(f"task {task.name}: baseline {baseline.name}: {baseline.path!r} must lie inside the task's folder")
    return task.folder / inside


def _module_path(task: Task, baseline: Baseline, module: str) -> Path:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise TaskError(f"task {task.name}: baseline {baseline.name}: no installed module {module!r} with a source file")
    return Path(found.origin)
