"""Takes a result away: the program's files, a patch, a picture, and where it comes from."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve import artifacts
from evolve.archive.store import Archive
from evolve.config import RunConfig, make_executor
from evolve.diffing import unified
from evolve.errors import ConfigError
from evolve.executors.base import Evaluated
from evolve.program import Evaluation, Objective, Program, Task
from evolve.recording import recorded
from evolve.verifying import agree

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Takeaway:
    """What was written.

    Attributes:
        folder: Where.
        files: Paths in it, sorted.
        evaluation: The program's evaluation in a fresh sandbox.
        recorded: The objective that the archive holds.
        agrees: Whether the fresh score is the recorded one, or what was measured at first where that was measured again.
    """

    folder: Path
    files: tuple[str, ...]
    evaluation: Evaluation
    recorded: float | None
    agrees: bool


async def take_away(archive: Archive, number: int, program_id: str, folder: Path, task: Task | None = None) -> Takeaway:
    """Writes a program to a folder, scored once more in a fresh sandbox.

    Args:
        archive: Where the run is.
        number: Which run.
        program_id: Which program.
        folder: Made when it does not exist; files of the same names are written over.
        task: The task of a run whose task was given inline.

    Raises:
        ConfigError: If the folder cannot be written.
        EvolveError: If the task is gone or its evaluator has changed.
    """
    task, config = recorded(archive, number, task, {"workers": 1})
    program, evaluation = archive.program(number, program_id)
    async with make_executor(task, config) as executor:
        fresh = await executor.evaluate(program.files, seed=config.seed, artifacts=True)
    texts = {
        **program.files,
        # Not the task's: the run may have been given another one to start from.
        "changes.patch": unified(archive.run_record(number).initial_files or task.files, program.files),
        "provenance.json": json.dumps(
            _provenance(archive, number, program, fresh=fresh, evaluation=evaluation, config=config), indent=2
        )
        + "\n",
    }
    shown = {name: content for name, content in fresh.files.items() if name not in texts}
    if hidden := sorted(fresh.files.keys() - shown.keys()):
        logger.warning("left out, for another file has the name: the evaluator's %s", ", ".join(hidden))
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from error
    names = [*texts, *artifacts.write(shown, folder)]
    recorded_objective = evaluation.objective if evaluation else None
    agrees = _agrees(fresh.evaluation, evaluation, task.objective)
    return Takeaway(folder, tuple(sorted(names)), fresh.evaluation, recorded_objective, agrees)


def _agrees(fresh: Evaluation, known: Evaluation | None, objective: Objective) -> bool:
    if fresh.objective is None or known is None or known.objective is None:
        return known is not None and fresh.outcome is known.outcome
    # A program that became the best was measured with further seeds as well; the fresh evaluation has the first ones.
    begins_alike = bool(fresh.values) and known.values[: len(fresh.values)] == fresh.values
    return begins_alike or agree(fresh.objective, known.objective, objective.tolerance)


def _provenance(
    archive: Archive, number: int, program: Program, *, fresh: Evaluated, evaluation: Evaluation | None, config: RunConfig
) -> dict[str, Any]:  # Any: JSON values
    record = archive.run_record(number)
    return {
        "task": record.task,
        "objective": fresh.evaluation.objective,
        "outcome": str(fresh.evaluation.outcome),
        "metric": record.metric,
        "direction": record.direction,
        "metrics": {name: metric.value for name, metric in fresh.evaluation.metrics.items()},
        "recorded_objective": evaluation.objective if evaluation else None,
        "isolation": fresh.evaluation.isolation,
        "run": record.name,
        "program": program.program_id,
        "step": program.step,
        "generation": program.generation,
        "parents": list(program.parents),
        "source_sha256": program.source_sha256,
        "seed": config.seed,
        "config": dict(record.config),
        "evaluator_sha256": record.evaluator_sha256,
        "versions": dict(record.versions),
        "commit": record.commit,
        "repeat_with": record.command,
    }
