"""What comes after the last step of a finished run: its results are scored by what nothing of the run was chosen by.

That is held-out data, where the task has some; and, where scores are noisy, further measurements of the best program. The scores
that it was chosen by are too good on average, however often it was measured meanwhile: the best of many is also the luckiest of
many. Measurements that come after the choice are not, so the mean of these alone, with Student's interval, is what the program
is worth.

Nothing here changes a population or reaches a prompt. What is on record already is not made again.
"""

from __future__ import annotations

import asyncio
import logging

from evolve.archive.store import Archive, RunWriter
from evolve.archive.summaries import summary
from evolve.config import RunConfig
from evolve.executors.base import Executor
from evolve.program import Evaluation, Objective
from evolve.rng import derived_seed
from evolve.verifying import pooled

logger = logging.getLogger(__name__)


async def hold_out(archive: Archive, executor: Executor, writer: RunWriter, seed: int) -> None:
    """Scores a finished run's results on held-out data, where the task has some and they have not been scored on it."""
    # Those that a summary shows: of several equally good programs, the search's best may be another one.
    shown = summary(archive, writer.run)
    results = {shown[place]["program"] for place in ("initial", "best") if shown[place] is not None}
    for program_id in sorted(results - archive.held_out(writer.run)):
        program, _ = writer.program_of(program_id)
        evaluation = await executor.holdout(program.files, seed=seed)
        if evaluation is None:
            return
        writer.holdout(program.step, evaluation)
        writer.commit()


async def measure_afresh(archive: Archive, executor: Executor, writer: RunWriter, config: RunConfig, objective: Objective) -> None:
    """Measures a finished run's best program again, where its scores were not always the same and it has not been yet."""
    best = summary(archive, writer.run)["best"]
    if best is None or not config.stages.final_measurements or best["program"] in archive.measured_afresh(writer.run):
        return
    program, known = writer.program_of(best["program"])
    if not known.standard_error:
        return
    slots = asyncio.Semaphore(executor.slots)

    async def evaluate(number: int) -> Evaluation:
        async with slots:
            seed = final_seed(config.seed, number, objective)
            return (await executor.evaluate(program.files, seed=seed, fresh=True)).evaluation

    found = await asyncio.gather(*(evaluate(number) for number in range(config.stages.final_measurements)))
    failure = next((evaluation for evaluation in found if not evaluation.ok), None)
    if failure is not None:
        logger.warning("the best program, %s, failed when it was measured afresh: %s", program.program_id, failure.outcome)
    writer.afresh(program.step, failure or pooled(found))
    writer.commit()


def final_seed(seed: int, number: int, objective: Objective) -> int:
    """Returns what a program is seeded with when it is measured afresh: as in `evolve.verifying`, but never as there."""
    return derived_seed(seed, number, "afresh") if objective.repeats > 1 else seed
