"""The command `eval`."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from evolve import artifacts
from evolve.cli.options import IsolationOption, JsonOption
from evolve.cli.output import number, print_json, stdout
from evolve.config import RunConfig, make_executor, resolve
from evolve.errors import ConfigError
from evolve.evaluators.statistics import mean, standard_error
from evolve.executors.base import Evaluated
from evolve.program import Evaluation, Files, Outcome, Task
from evolve.tasks.catalog import find


def evaluate(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A name or a folder.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Programs: a file each, or a folder for several files.")],
    repeats: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Score each so often, with seeds 0 to N-1, not as the task says.")
    ] = None,
    holdout: Annotated[bool, typer.Option("--holdout", help="Score on the task's held-out data instead.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write figure and artifacts there; of several files, to a folder each."),
    ] = None,
    isolation: IsolationOption = None,
    json: JsonOption = False,
) -> None:
    """Scores program files against a task, each in a fresh sandbox."""
    if output is not None and holdout:
        raise ConfigError("--output writes what evaluate draws, and --holdout scores without it; give one of them")
    found = find(task)
    if repeats is not None:
        found = dataclasses.replace(found, objective=dataclasses.replace(found.objective, repeats=1))
    folders = {} if output is None else _folders(files, output)
    sources = [(path, read_program(found, path)) for path in files]
    config = resolve(found, options={"isolation": isolation})
    scored = asyncio.run(_score_all(found, config, sources, repeats, holdout=holdout, files=output is not None))
    rows = [_row(path, [item.evaluation for item in each], repeats) for (path, _), each in zip(sources, scored, strict=True)]
    for row, path, each in zip(rows, files, scored, strict=True) if folders else ():
        row |= {"output": str(folders[path]), "written": list(artifacts.write(each[0].files, folders[path]))}
    if json:
        print_json(rows)
    else:
        _print(rows)
    if any(item.evaluation.outcome is Outcome.EVALUATOR_FAILED for each in scored for item in each):
        raise typer.Exit(1)


def _print(rows: list[dict[str, Any]]) -> None:  # Any: JSON values
    for row in rows:
        several = row.get("standard_error") is not None
        spread = f" ± {number(row['standard_error'])} (standard error, {len(row['values'])} values)" if several else ""
        shown = row.get("mean", row["objective"])
        shared = "  (shared-process score)" if row["shared_process"] else ""
        stdout.print(f"{row['file']}: {row['outcome']} {number(shown)}{spread}{shared}", style="bold", markup=False)
        for name, value in row["metrics"].items():
            stdout.print(f"  {name:<24} {number(value)}", markup=False)
        for name, value in row["instances"].items():
            stdout.print(f"  {name:<24} {number(value)}   (instance)", markup=False)
        if "written" in row:
            stdout.print(f"  wrote to {row['output']}: {', '.join(row['written']) or 'nothing'}", markup=False)
        if row["feedback"]:
            stdout.print(row["feedback"], style="dim", markup=False)


def _folders(files: list[Path], output: Path) -> dict[Path, Path]:
    """Says where to write what is drawn of each program.

    Raises:
        ConfigError: If two would be written to one folder.
    """
    if len(files) == 1:
        return {files[0]: output}
    folders = {path: output / path.stem for path in files}
    if len(set(folders.values())) < len(files):
        raise ConfigError(
            f"--output writes to a folder for each file, by its name; give files of different names: {', '.join(map(str, files))}"
        )
    return folders


def read_program(task: Task, path: Path) -> Files:
    """Reads a program: a file takes the place of the task's first file, a folder brings any of its files.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        if path.is_dir():
            if not any((path / name).exists() for name in task.files):
                raise ConfigError(f"folder {path} holds none of the program's files: {', '.join(task.files)}")
            return {
                name: (path / name).read_text(encoding="utf-8") if (path / name).exists() else text
                for name, text in task.files.items()
            }
        return {**task.files, next(iter(task.files)): path.read_text(encoding="utf-8")}
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


async def _score_all(
    task: Task, config: RunConfig, sources: list[tuple[Path, Files]], repeats: int | None, *, holdout: bool, files: bool
) -> list[list[Evaluated]]:
    """Scores every source with every seed; the first seed's evaluation has the evaluator's files, where they are asked for."""
    async with make_executor(task, config) as executor:
        slots = asyncio.Semaphore(executor.slots)

        async def score(source: Files, seed: int) -> Evaluated:
            async with slots:
                if not holdout:
                    return await executor.evaluate(source, seed=seed, artifacts=files and seed == 0)
                evaluation = await executor.holdout(source, seed=seed)
            if evaluation is None:
                raise ConfigError(f"task {task.name} has no held-out data: its evaluate.py defines no holdout(program)")
            return Evaluated(evaluation)

        seeds = range(repeats or 1)
        return await asyncio.gather(*(asyncio.gather(*(score(source, seed) for seed in seeds)) for _, source in sources))


def _row(path: Path, evaluations: list[Evaluation], repeats: int | None) -> dict[str, Any]:  # Any: JSON values
    """One file's result; with repeats, the first failure decides the outcome."""
    shown = next((item for item in evaluations if not item.ok), evaluations[0])
    row: dict[str, Any] = {
        "file": str(path),
        "outcome": shown.outcome,
        "objective": shown.objective,
        "metrics": {name: metric.value for name, metric in shown.metrics.items()},
        "feedback": shown.feedback,
        "seconds": sum(item.wall_s for item in evaluations),
        "cpu_seconds": sum(item.cpu_s for item in evaluations),
        "isolation": shown.isolation,
        "stage": shown.stage,
        "instances": dict(shown.instances),
        "shared_process": shown.shared_process,
    }
    if repeats is None and shown.values:
        # Repeated by the evaluator or by the task's objective.repeats.
        row |= {"values": list(shown.values), "mean": shown.objective, "standard_error": shown.standard_error}
    if repeats is not None:
        values = [item.objective for item in evaluations if item.objective is not None]
        row["values"] = [item.objective for item in evaluations]
        row["mean"] = mean(values) if values else None
        row["standard_error"] = standard_error(values)
    return row


COMMANDS = {"eval": evaluate}
