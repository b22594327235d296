"""Reads a task's folder: ``task.toml``, the initial program, the background text, and a hash of what decides a score."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from evolve import settings
from evolve.edits import mutable_regions
from evolve.errors import ConfigError, TaskError
from evolve.evaluators.compat import Framework, SharedEvaluator
from evolve.program import Attack, Baseline, BaselinesTable, Build, Files, Limits, Objective, Smoke, Task
from evolve.settings import read_toml
from evolve.tasks.hashing import folder_sha256, function_sha256, scoring_sha256

#: Resources of a cluster that go by limits.
_LIMITED = {"cpu": "cpus", "cpus": "cpus", "gpu": "gpus", "gpus": "gpus", "memory": "memory_mb"}


@dataclass(frozen=True, slots=True)
class _PromptTable:
    """The ``[prompt]`` table: where the background text and the task's own templates lie."""

    background: str | None = None
    templates: str | None = None


@dataclass(frozen=True, slots=True)
class _Manifest:
    """``task.toml`` but for its ``[run]`` table, whose ``command`` is the task's and all else a run's configuration."""

    name: str
    program: tuple[str, ...]
    summary: str = ""
    subject: str = ""
    objective: Objective = Objective()
    limits: Limits = Limits()
    prompt: _PromptTable = _PromptTable()
    data: tuple[str, ...] = ()
    attacks: tuple[Attack, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    baselines_table: BaselinesTable = BaselinesTable()
    smoke: Smoke = Smoke()
    shared_process: bool = False
    build: Build | None = None
    requires: tuple[str, ...] = ()
    resources: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, amount in self.resources.items():
            if not amount > 0:
                raise TaskError(f"resources.{name} must be > 0, got {amount!r}")
            if name.lower() in _LIMITED:
                raise TaskError(f"resources.{name}: say it as limits.{_LIMITED[name.lower()]}")
        names = [baseline.name for baseline in self.baselines]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise TaskError(f"baselines: every one needs a name of its own, and {', '.join(twice)} is there more than once")


@dataclass(frozen=True, slots=True)
class _Execution:
    """What the ``[run]`` table says of programs, not of a run."""

    command: tuple[str, ...] = ()


class _Read(NamedTuple):
    """What ``task.toml`` says, and where."""

    folder: Path
    manifest: _Manifest
    run: dict[str, Any]  # Any: TOML values, checked by config.py
    command: tuple[str, ...]


class Unfinished(NamedTuple):
    """A task whose program is not all there.

    Attributes:
        task: The task; files that are missing are empty texts in it.
        missing: Paths of these, in the program's order.
    """

    task: Task
    missing: tuple[str, ...]


def load(folder: Path, origin: str) -> Task:
    """Reads the task in a folder.

    Args:
        folder: Holds ``task.toml``, ``evaluate.py`` and the initial program.
        origin: What the task's record says of where it was found.

    Raises:
        TaskError: If something is missing, mistyped or does not parse; the message names file, key and remedy.
    """
    read = _read_manifest(folder)
    files = {name: _read_program(read.folder, name, read.manifest.name) for name in read.manifest.program}
    check_source(files, read.manifest.name)
    return _task(read, files, origin)


def load_unfinished(folder: Path, origin: str) -> Unfinished:
    """Reads a task some of whose program's files, or all of them, are still to be written.

    Args:
        folder: Holds ``task.toml`` and ``evaluate.py``.
        origin: See `load`.

    Raises:
        TaskError: See `load`; a missing file of the program is none.
    """
    read = _read_manifest(folder)
    name = read.manifest.name
    missing = tuple(path for path in read.manifest.program if _is_missing(read.folder, path))
    files = {path: "" if path in missing else _read_program(read.folder, path, name) for path in read.manifest.program}
    if there := {path: text for path, text in files.items() if path not in missing}:
        check_source(there, name)
    return Unfinished(_task(read, files, origin), missing)


def _read_manifest(folder: Path) -> _Read:
    """Reads ``task.toml`` and sees that there is something to score with."""
    folder = folder.resolve()
    try:
        table = read_toml(folder / "task.toml")
        run = table.pop("run", {})
        manifest = settings.build(_Manifest, table, "task.toml")
        if not isinstance(run, dict):
            raise ConfigError(f"[run] must be a table, got {run!r}")
        command = settings.build(_Execution, {key: run.pop(key) for key in ("command",) if key in run}, "task.toml [run]").command
    except (ConfigError, TaskError) as error:
        raise TaskError(f"task in {folder.name}: {error}") from error
    if manifest.build is not None and not command:
        raise TaskError(
            f'task {manifest.name}: [build] makes something that nothing runs; add [run] command, such as command = ["./program"]'
        )
    if not (folder / "evaluate.py").is_file():
        raise TaskError(f"task {manifest.name}: evaluate.py is missing; it must define evaluate(program) -> Score")
    return _Read(folder, manifest, run, command)


def _task(read: _Read, files: Files, origin: str) -> Task:
    """Puts a task together from its manifest and its program."""
    folder, manifest, run, command = read
    background = _read(folder, manifest.prompt.background, manifest.name) if manifest.prompt.background else ""
    shared = _shared_evaluator(folder, manifest) if manifest.shared_process else None
    program, data = manifest.program, manifest.data
    evaluator = shared.sha256(program) if shared is not None else folder_sha256(folder, program, data)
    return Task(
        name=manifest.name,
        files=files,
        objective=manifest.objective,
        limits=manifest.limits,
        summary=manifest.summary,
        subject=manifest.subject,
        background=background,
        prompts=_templates(folder, manifest),
        origin=origin,
        folder=folder,
        evaluate=shared,
        evaluator_sha256=scoring_sha256(
            evaluator, manifest.objective, manifest.limits, smoke=manifest.smoke, build=manifest.build, command=command
        ),
        attacks=manifest.attacks,
        baselines=manifest.baselines,
        baselines_table=manifest.baselines_table,
        run=run,
        smoke=manifest.smoke,
        shared_process=manifest.shared_process,
        build=manifest.build,
        command=command,
        requires=manifest.requires,
        resources=manifest.resources,
    )


def _templates(folder: Path, manifest: _Manifest) -> Path | None:
    """Returns the folder with the task's own templates of prompts; what is in it is read when a run starts."""
    name = manifest.prompt.templates
    if name is None:
        return None
    if not _lies_inside(name) or not (folder / name).is_dir():
        raise TaskError(f"task {manifest.name}: [prompt] templates = {name!r} is no folder inside the task's folder")
    return folder / name


def _shared_evaluator(folder: Path, manifest: _Manifest) -> SharedEvaluator:
    """Makes what scores a task whose ``evaluate.py`` is to run in the program's own process."""
    text = _read(folder, "evaluate.py", manifest.name)
    for name in ("smoke", "holdout", "paired"):
        if f"def {name}(" in text:
            raise TaskError(
                f"task {manifest.name}: evaluate.py defines {name}, which does not run where shared_process = true (the program "
                f"could read what it holds back and draws); take {name} out, or shared_process"
            )
    entry = manifest.program[0]
    return SharedEvaluator(Framework.EVOLVE, folder, evaluator="evaluate.py", program=entry, objective="objective")


def inline(  # what a notebook says in one call
    name: str,
    source: str | Files,
    evaluate: Callable[..., Any],  # Any: what an author returns is checked where it is called
    *,
    objective: Objective = Objective(),
    limits: Limits = Limits(),
    background: str = "",
    smoke: Callable[..., Any] | None = None,  # Any: see above
    holdout: Callable[..., Any] | None = None,  # Any: see above
    paired: Callable[..., Any] | None = None,  # Any: see above
    build: Build | None = None,
    command: Sequence[str] = (),
) -> Task:
    """Makes a task from source text and a scoring function, for notebooks and tests.

    Args:
        name: What runs are called after.
        source: The initial program's text, or several files by path, the one with the entry points first.
        evaluate: Takes an `IsolatedProgram`, returns a `Score`; it runs in a worker process, so what it changes outside
            is not seen here.
        objective: What selection optimises.
        limits: What one evaluation may use.
        background: What a mutator should know about the problem.
        smoke: Takes the program before ``evaluate`` does, and raises `Invalid` for one that is not worth evaluating.
        holdout: Returns a `Score` for a finished result, on data that the search never sees.
        paired: Takes the program and a seed, and returns a `Score` whose randomness comes from that seed alone.
        build: How programs are built before they are executed.
        command: What ``program.execute`` runs.

    Raises:
        TaskError: If the source does not parse or its evolve blocks are unbalanced.
    """
    files = {"initial.py": source} if isinstance(source, str) else dict(source)
    stages = {"smoke": smoke, "holdout": holdout, "paired": paired}
    more = [f" {stage} {function_sha256(function, stage)}" for stage, function in stages.items() if function is not None]
    evaluator = function_sha256(evaluate, "evaluate") + "".join(more)
    return Task(
        name=name,
        files=check_source(files, name),
        objective=objective,
        limits=limits,
        background=background,
        evaluate=evaluate,
        smoke_test=smoke,
        holdout=holdout,
        paired=paired,
        evaluator_sha256=scoring_sha256(evaluator, objective, limits, build=build, command=tuple(command)),
        build=build,
        command=tuple(command),
    )


def check_source(files: Files, task: str) -> Files:
    """Checks that an initial program can be mutated: it parses, and its evolve blocks are balanced.

    Raises:
        TaskError: If not, naming the file and the line.
    """
    if not files:
        raise TaskError(f"task {task}: program = [] names no file; give at least one")
    for name, text in files.items():
        if name.endswith(".py"):
            try:
                ast.parse(text, filename=name)
            except (SyntaxError, ValueError) as error:
                raise TaskError(f"task {task}: the initial program does not parse: {name}: {error}") from error
    try:
        regions = mutable_regions(files)
    except ValueError as error:
        raise TaskError(f"task {task}: {error}") from error
    if not any(region.end > region.start for spans in regions.values() for region in spans):
        raise TaskError(f"task {task}: nothing may change: its EVOLVE-BLOCK regions are empty")
    return files


def _read(folder: Path, name: str, task: str) -> str:
    if not _lies_inside(name):
        raise TaskError(f"task {task}: {name!r} must lie inside the task's folder")
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TaskError(f"task {task}: task.toml names {name!r}, which does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"task {task}: {name!r} cannot be read: {error}") from error


def _is_missing(folder: Path, name: str) -> bool:
    return _lies_inside(name) and not (folder / name).exists()


def _read_program(folder: Path, name: str, task: str) -> str:
    if _is_missing(folder, name):
        raise TaskError(
            f"task {task}: task.toml names {name!r}, which does not exist; write it, or have a language model write it: "
            f"evolve task draft {folder} --arm SPEC"
        )
    return _read(folder, name, task)


def _lies_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
