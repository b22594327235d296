"""Writes a new run down, and finds a recorded run's task and configuration again. What drives it is `evolve.session`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from evolve.archive.records import NewRun, RunRecord, Start
from evolve.archive.store import Archive
from evolve.arms import make_mutators
from evolve.config import RunConfig, make_executor
from evolve.errors import ConfigError, TaskError
from evolve.limiting import with_recorded_limit
from evolve.maker import Maker, check_models
from evolve.program import Files, Task
from evolve.provenance import commit_of, repeat_command, versions
from evolve.settings import build, plain
from evolve.strategies import make_search
from evolve.tasks.catalog import locate


def check(task: Task, config: RunConfig) -> Maker:
    """Refuses a configuration whose parts cannot be made, before anything is on disk.

    Returns:
        What the arms of language models are made by, for `create` and `drive`.

    Raises:
        ConfigError: If an arm, the strategy or the executor is unknown, a key is missing, or a price is unknown under a dollar
            budget.
        TaskError: If a plug-in cannot be loaded.
    """
    make_search(task, config, list(make_mutators(task, config)))
    maker = check_models(task, config)
    make_executor(task, config)
    return maker


def create(
    archive: Archive,
    task: Task,
    config: RunConfig,
    name: str,
    maker: Maker | None = None,
    *,
    starts: Sequence[Start] = (),
    rescores: int | None = None,
    command: str | None = None,
) -> int:
    """Writes down a new run and returns its number.

    Args:
        archive: Where to.
        task: What is being solved.
        config: The run's configuration.
        name: What to call it; made from the task's name when empty.
        maker: What `check` returned; None makes one.
        starts: What it starts from; none is the task's initial program.
        rescores: Number of the run whose programs it scores again, if it does.
        command: A command line that repeats it; None makes that of `evolve run`.

    Raises:
        ConfigError: If a price table or a template is broken.
    """
    new = NewRun(
        task=task.name,
        task_origin=task.origin,
        task_folder=str(task.folder or ""),
        evaluator_sha256=task.evaluator_sha256,
        direction=task.objective.direction,
        metric=task.objective.metric,
        seed=config.seed,
        config=plain(config),
        versions={**versions(), **(maker or Maker(task, config)).prompt_versions()},
        commit=commit_of(task.folder),
        command=repeat_command(task, config, [start.origin for start in starts]) if command is None else command,
        name=name,
        rescores=rescores,
    )
    return archive.create_run(new, starts)


def recorded(archive: Archive, number: int, task: Task | None, changes: Mapping[str, Any]) -> tuple[Task, RunConfig]:
    """Finds the task and the configuration of a recorded run again.

    Args:
        archive: Where the run is.
        number: Which run.
        task: The task of a run whose task was given inline; otherwise None.
        changes: Settings that may differ from session to session; None values keep the recorded ones, but for the time limit,
            which belongs to a session: a run that it stopped is resumed to go on.

    Raises:
        ConfigError: If the task was inline and is not given.
        TaskError: If the task's evaluator has changed: old and new scores would not compare.
    """
    record = archive.run_record(number)
    kept = {key: value for key, value in changes.items() if value is not None or key == "max_seconds"}
    session = archive.session(number)
    if session is not None and "budget_usd" not in kept:
        kept["budget_usd"] = session.budget_usd
    config = with_recorded_limit(archive, number, build(RunConfig, {**record.config, **kept}, "run"))
    task = task_of(record, task)
    if task.evaluator_sha256 != record.evaluator_sha256:
        raise TaskError(
            f"the evaluator of task {task.name} has changed since run {record.name} began "
            f"({record.evaluator_sha256[:12]} then, {task.evaluator_sha256[:12]} now): old and new scores would not compare; "
            "restore it, or start a new run"
        )
    starts = archive.starts(number)
    # The program may have been edited since; the run goes on from the one that it began with.
    files = starts[0].files if starts else record.initial_files
    return (begun_with(task, files) if files else task), config


def task_of(record: RunRecord, task: Task | None) -> Task:
    """Finds the task of a recorded run again, whatever has become of its evaluator.

    Args:
        record: The run's.
        task: The task of a run whose task was given inline; otherwise None.

    Raises:
        ConfigError: If the task was inline and is not given.
        TaskError: If it cannot be loaded.
    """
    if task is not None:
        return task
    if record.task_origin == "inline":
        raise ConfigError(
            f"run {record.name} was given its task {record.task!r} inline; take it up from Python with "
            "evolve.resume(..., task=task)"
        )
    return locate(record.task_folder, record.task)


def begun_with(task: Task, files: Files) -> Task:
    """Returns a task whose program is the one that a run began with."""
    # In the task's order: the first file holds the entry points.
    names = [name for name in task.files if name in files] + [name for name in files if name not in task.files]
    return dataclasses.replace(task, files={name: files[name] for name in names})
