"""Measures baselines: every one with every seed, as far as that has not been done before."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evolve import artifacts
from evolve.baselines import machine
from evolve.baselines.journal import Journal, Measurement
from evolve.baselines.programs import BaselineProgram, Selection
from evolve.config import RunConfig, make_executor
from evolve.executors.base import Evaluated, Executor
from evolve.gate import Gate
from evolve.program import Files, Outcome, Task

#: Told of every measurement, with how many there are by then and how many there will be.
Watch = Callable[[Measurement, int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured.

    Attributes:
        task: Whose baselines.
        config: Where evaluations run.
        selection: Which baselines.
        seeds: With which seeds; at least one.
        folder: Where results are kept.
        artifacts: Whether the evaluator's files of the first seed are wanted, in a folder for each baseline.
    """

    task: Task
    config: RunConfig
    selection: Selection
    seeds: Sequence[int]
    folder: Path
    artifacts: bool = False


class _Missing(NamedTuple):
    program: BaselineProgram
    seed: int
    artifacts: bool


def measure(plan: Plan, journal: Journal, watch: Watch) -> None:
    """Makes the measurements that are missing in a journal.

    Seed by seed, so that what is there after an interruption is balanced. Where the evaluator failed, it is asked again.

    Raises:
        KeyboardInterrupt: If it is interrupted; the same call goes on.
        EvolveError: If there is nothing to measure with, or results cannot be kept.
    """
    missing = _missing(plan, journal)
    if missing:
        asyncio.run(_measure(plan, journal, watch, missing))


def _missing(plan: Plan, journal: Journal) -> list[_Missing]:
    # Baselines with the same source are measured once, but for files, of which each has its own.
    missing: dict[tuple[str, str, int], _Missing] = {}
    for seed in plan.seeds:
        for program in plan.selection.programs:
            known = journal.find(program, seed)
            files = plan.artifacts and seed == plan.seeds[0]
            failed = known is None or known.evaluation.outcome is Outcome.EVALUATOR_FAILED
            if failed or (files and not _written(known, plan.folder / program.name)):
                missing.setdefault((program.source_sha256, program.name if files else "", seed), _Missing(program, seed, files))
    return [*missing.values()]


def _written(known: Measurement | None, folder: Path) -> bool:
    return known is not None and known.artifacts is not None and all((folder / name).is_file() for name in known.artifacts)


async def _measure(plan: Plan, journal: Journal, watch: Watch, missing: Sequence[_Missing]) -> None:
    # The seeds are the repeats.
    task = dataclasses.replace(plan.task, objective=dataclasses.replace(plan.task.objective, repeats=1))
    where = machine.described(plan.task, plan.config)
    total = len(plan.seeds) * len(plan.selection.programs)
    done = total - len(missing)
    async with make_executor(task, plan.config) as executor:
        gate = Gate(lambda: executor.slots)

        async def one(item: _Missing) -> None:
            nonlocal done
            async with gate:
                found = await _ask(executor, item.program.files, item.seed, files=item.artifacts)
            written = artifacts.write(found.files, plan.folder / item.program.name) if item.artifacts else None
            made = Measurement(item.program.name, item.program.source_sha256, item.seed, found.evaluation, where, written)
            journal.write(made)
            done += 1
            watch(made, done, total)

        works = [asyncio.ensure_future(one(item)) for item in missing]
        try:
            await asyncio.gather(*works)
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)


async def _ask(executor: Executor, source: Files, seed: int, *, files: bool) -> Evaluated:
    found = await executor.paired(source, seed=seed, artifacts=files)
    return found if found is not None else await executor.evaluate(source, seed=seed, artifacts=files)
