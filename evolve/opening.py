"""What comes before the first step: the starting programs are scored.

A run has one starting program, its task's initial one, or those that it was given. They are no steps: nothing is planned,
nothing counts in a budget, and they belong to every island. The first that scores is *the* initial program, step 0 as in
every run. The others have the numbers below: the one given after it -1, the next -2, and so on, with equal numbers for their
additions' versions. So version 0 is still the archive in which step 1 is planned, and every order, fold and replay that counts
from there counts alike with one starting program or a hundred; and rows stay unique by run and step, which several programs of
step 0 would not be.

Those that do not score are kept as children that do not score are: with their outcome and feedback, and outside every island.

Each program is committed with its evaluation as soon as it is there, so a run that is killed meanwhile evaluates none of them
again. The additions follow together, in the order of their numbers, whatever finished first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from evolve.archive.records import Start
from evolve.archive.starts import ScoredStart
from evolve.archive.store import RunWriter
from evolve.errors import TaskError
from evolve.program import Evaluation, Task
from evolve.stages import Abandoned, Result, Stages

logger = logging.getLogger(__name__)

_NOISY = "For scores with noise set objective.repeats or objective.tolerance in task.toml."
#: The most starting points of which each that fails is named: rescoring a run has thousands.
_NAMED = 20


class StartsWatcher(Protocol):
    """Is told of starting programs, which are added together, as they are scored; must return quickly and never raise."""

    def scored(self, evaluation: Evaluation, total: int) -> None:
        """Called once for each starting program, those that an earlier session scored too.

        Args:
            evaluation: What it scored.
            total: How many starting programs there are.
        """
        ...


class Opening:
    """Scores a run's starting programs, several at once."""

    def __init__(
        self,
        task: Task,
        starts: Sequence[Start],
        stages: Stages,
        writer: RunWriter,
        scored: Mapping[str, ScoredStart] | None = None,
        *,
        verify: bool = True,
        watcher: StartsWatcher | None = None,
    ) -> None:
        """Puts the parts together.

        Args:
            task: What is being solved.
            starts: What the run was given to start from, no two of them alike; none is the task's initial program.
            stages: Evaluates programs; shares the writer.
            writer: The run's archive.
            scored: What an earlier session scored of them, by the hash of the source.
            verify: Whether those that score are scored once more, as a program that would be the best is.
            watcher: Told of each as it is scored.
        """
        self._watcher = watcher
        self._task = task
        self._starts = list(starts) or [Start("initial", task.files)]
        self._stages = stages
        self._writer = writer
        self._scored = dict(scored or {})
        self._verify = verify

    async def results(self) -> list[Result]:
        """Scores the starting programs and returns them in the order of their additions, the initial program last.

        Raises:
            TaskError: If none of them scores. Nothing of them is written down then: a later session, with the task mended,
                begins anew.
            Abandoned: If the run is stopping.
        """
        first, tried = await self._first()
        numbers = {index: _step(index, first) for index in range(len(self._starts))}
        # Before any is taken down: what is taken down of them is written in one transaction.
        embeddings = [await self._stages.embedded(self._starts[index].files, numbers[index]) for index in range(len(tried))]
        results = [
            self._take(index, numbers[index], evaluation, embedding)
            for index, (evaluation, embedding) in enumerate(zip(tried, embeddings, strict=True))
        ]
        self._writer.commit()
        results += await self._others(range(len(tried), len(self._starts)), numbers)
        return sorted(results, key=lambda result: result.finished.step)

    async def _first(self) -> tuple[int, list[Evaluation]]:
        """Finds the first that scores, one after another: the others' numbers depend on it.

        Returns:
            Its place, and the evaluations up to its own.
        """
        tried: list[Evaluation] = []
        for index, start in enumerate(self._starts):
            tried.append(await self._evaluation(start))
            if tried[-1].ok:
                return index, tried
        raise TaskError(self._why_none(tried))

    async def _others(self, indices: Sequence[int], numbers: Mapping[int, int]) -> list[Result]:
        tasks = [asyncio.create_task(self._score(index, numbers[index])) for index in indices]
        # All of them, also when the run is stopping: what is being evaluated is finished and committed.
        found = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [item for item in found if isinstance(item, BaseException)]
        for error in sorted(errors, key=lambda error: isinstance(error, Abandoned)):
            raise error
        return [item for item in found if not isinstance(item, BaseException)]

    async def _score(self, index: int, step: int) -> Result:
        evaluation = await self._evaluation(self._starts[index])
        embedding = await self._stages.embedded(self._starts[index].files, step)
        result = self._take(index, step, evaluation, embedding)
        self._writer.commit()
        return result

    async def _evaluation(self, start: Start) -> Evaluation:
        known = self._scored.get(start.source_sha256)
        evaluation = await self._stages.score(start.files, verify=self._verify) if known is None else known.evaluation
        if self._watcher is not None:
            self._watcher.scored(evaluation, len(self._starts))
        return evaluation

    def _take(self, index: int, step: int, evaluation: Evaluation, embedding: np.ndarray | None) -> Result:
        start = self._starts[index]
        if evaluation.ok and evaluation.verified is False:
            logger.warning("%s: the score does not repeat: %s %s", self._named(start), evaluation.feedback, _NOISY)
        if not evaluation.ok and len(self._starts) <= _NAMED:
            logger.warning("%s does not score and is left out: %s %s", self._named(start), evaluation.outcome, evaluation.feedback)
        logger.info("%s: step %d, %s, objective %s", self._named(start), step, evaluation.outcome, evaluation.objective)
        return self._stages.started(step, start.files, evaluation, embedding, known=start.source_sha256 in self._scored)

    def _named(self, start: Start) -> str:
        if start.origin == "initial":
            return f"the initial program of task {self._task.name}"
        return f"starting point {start.origin}"

    def _why_none(self, tried: Sequence[Evaluation]) -> str:
        """Says why the run cannot begin."""
        reason = f"{tried[0].outcome}\n{tried[0].feedback}".rstrip()
        others = "" if len(tried) == 1 else f" (nor does any of the other {len(tried) - 1} starting points)"
        advice = (
            f"mend it, and check with: evolve task check {self._task.folder or self._task.name}"
            if self._starts[0].origin == "initial"
            else f"give one that does with --start, and check it with: evolve eval {self._task.folder or self._task.name} FILE"
        )
        return f"{self._named(self._starts[0])} does not score{others}: {reason}\n{advice}"


def _step(index: int, first: int) -> int:
    """Numbers a starting point by its place in the list and that of the first which scores."""
    if index == first:
        return 0
    return -(index + 1) if index < first else -index
