"""Tries hostile programs on a task at a level, and watches from outside."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from evolve.errors import TaskError
from evolve.evaluators.sandbox import landlock
from evolve.executors.local import LocalExecutor
from evolve.program import Evaluation, Files, Isolation, Limits, Outcome, Task
from evolve.testing.hostile.canaries import Canaries
from evolve.testing.hostile.record import NEVER, SHORT_S, Hostile, Sign
from evolve.testing.hostile.wrapping import GOT, wrapped

#: What a fork server that was lost, and a worker started anew, may take beyond the deadline.
_GRACE_S = 15.0
#: A machine that is too busy for a wall-clock limit says nothing about a sandbox.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of one hostile program.

    Attributes:
        name: The program's.
        level: What it ran at.
        tried: What it tried.
        outcome: How its (last) evaluation ended.
        objective: What it scored.
        honest: What the task's initial program scores.
        signs: What was seen, by sign; empty for an attack that was stopped.
        claimed: Whether the level is said to stop it.
        wall_s: Wall-clock seconds of its (last) evaluation.
    """

    name: str
    level: Isolation
    tried: str
    outcome: Outcome
    objective: float | None
    honest: float
    signs: tuple[tuple[Sign, str], ...]
    claimed: bool
    wall_s: float

    @property
    def stopped(self) -> bool:
        """Whether nothing of the attack was seen."""
        return not self.signs

    @property
    def failed(self) -> bool:
        """Whether something was seen that the level is said to prevent."""
        return any(self.claimed or sign in NEVER for sign, _ in self.signs)

    @property
    def seen(self) -> str:
        """What was seen, in words."""
        return "; ".join(f"{sign}: {text}" for sign, text in self.signs) or "nothing"

    @property
    def verdict(self) -> str:
        """One word: stopped, FAILED, or open where nobody claimed that it would be stopped."""
        return "stopped" if self.stopped else "FAILED" if self.failed else "open"


def short_limits(limits: Limits) -> Limits:
    """Limits under which a hostile program is soon over."""
    memory_mb, scratch_mb = min(limits.memory_mb, 256), min(limits.scratch_mb, 16)
    return dataclasses.replace(limits, timeout_s=SHORT_S, wall_timeout_s=3 * SHORT_S, memory_mb=memory_mb, scratch_mb=scratch_mb)


def patient_limits(limits: Limits, timeout_s: float) -> Limits:
    """The same limits with at least so many CPU seconds, and three times as long by the clock."""
    return dataclasses.replace(limits, timeout_s=max(limits.timeout_s, timeout_s), wall_timeout_s=max(limits.wall_s, 3 * timeout_s))


class ProvingGround:
    """One task at one level with everything around it that hostile programs are told about; an async context manager."""

    def __init__(self, task: Task, isolation: Isolation, tolerance: float = 0.0) -> None:
        """Starts nothing yet.

        Args:
            task: Its initial program must be Python.
            isolation: The level to try.
            tolerance: How far a score of the same program may be from another, for tasks that measure time.

        Raises:
            TaskError: If it is not Python.
        """
        first = next(iter(task.files))
        if not first.endswith(".py"):
            raise TaskError(f"task {task.name}: hostile programs are written in Python and cannot be put in front of {first}")
        self._task = task
        self.isolation = isolation
        self._tolerance = tolerance
        self._canaries = Canaries()
        self._stack = ExitStack()
        #: By what they let a program use: one, and another from the first program on that is given more time.
        self._executors: dict[Limits, LocalExecutor] = {}
        self._honest = 0.0
        self._landlock = 0

    async def __aenter__(self) -> Self:
        self._stack.enter_context(self._canaries)
        with suppress(OSError):
            self._landlock = landlock.abi()
        try:
            await self._start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._stack:
            await asyncio.gather(*(executor.__aexit__(kind, error, trace) for executor in self._executors.values()))

    def runs(self, program: Hostile) -> bool:
        """Tells whether a program is run at this level at all."""
        return self.isolation.rank >= program.least.rank

    async def run(self, program: Hostile) -> Observation:
        """Evaluates a hostile program, then an honest one, and looks at everything.

        Raises:
            ValueError: If the program would harm the machine at this level.
        """
        if not self.runs(program):
            raise ValueError(f"{program.name} is not run below level {program.least}, and this is {self.isolation}")
        folder = self._task.folder
        facts = self._canaries.facts()
        facts["EVALUATOR"] = str(folder / "evaluate.py") if folder is not None else facts["FILE"]
        files = wrapped(self._task.files, program.source, facts)
        evaluation, signs = await self._evaluate(program, files)
        claimed = program.claimed(self.isolation, self._landlock)
        signs |= self._canaries.signs(f"{evaluation.feedback} {dict(evaluation.metrics)}")
        if GOT in evaluation.feedback:
            signs[Sign.REPORT] = evaluation.feedback.split(GOT)[1][:200].strip()
        signs |= await self._scores(evaluation, self._limits(program))
        if evaluation.outcome not in program.ends and not signs:
            signs[Sign.OUTCOME] = f"{evaluation.outcome}: {evaluation.feedback[:300]}"
        return Observation(
            name=program.name,
            level=self.isolation,
            tried=program.tries,
            outcome=evaluation.outcome,
            objective=evaluation.objective,
            honest=self._honest,
            signs=tuple(signs.items()),
            claimed=claimed,
            wall_s=evaluation.wall_s,
        )

    async def _start(self) -> None:
        """Enters an executor with short limits; with the task's own where its initial program needs more."""
        outcome = Outcome.CRASHED
        for limits in (short_limits(self._task.limits), self._task.limits):
            evaluation = await self._evaluate_honest(limits)
            if evaluation.objective is not None:
                self._task, self._honest = dataclasses.replace(self._task, limits=limits), evaluation.objective
                return
            outcome = evaluation.outcome
            await self._executors.pop(limits).__aexit__(None, None, None)
        raise TaskError(f"task {self._task.name}: its initial program must score, and its outcome is {outcome}")

    def _limits(self, program: Hostile) -> Limits:
        return patient_limits(self._task.limits, program.timeout_s)

    async def _executor(self, limits: Limits) -> LocalExecutor:
        """Supplies the executor with these limits; starts it when it is first asked for."""
        if limits not in self._executors:
            executor = LocalExecutor(dataclasses.replace(self._task, limits=limits), isolation=self.isolation)
            await executor.__aenter__()
            self._executors[limits] = executor
        return self._executors[limits]

    async def _evaluate(self, program: Hostile, files: Files) -> tuple[Evaluation, dict[Sign, str]]:
        """Evaluates a hostile program as often as it wants; returns the last evaluation and what remained of any."""
        signs: dict[Sign, str] = {}
        limits = self._limits(program)
        executor = await self._executor(limits)
        for attempt in range(_ATTEMPTS):
            for _ in range(program.times):
                started = time.monotonic()
                evaluation = (await executor.evaluate(files, seed=0)).evaluation
                signs |= self._remains(time.monotonic() - started, limits)
            if evaluation.outcome in program.ends or not evaluation.timing_dependent or attempt == _ATTEMPTS - 1:
                break
        return evaluation, signs

    async def _evaluate_honest(self, limits: Limits) -> Evaluation:
        executor = await self._executor(limits)
        for _ in range(_ATTEMPTS):
            evaluation = (await executor.evaluate(self._task.files, seed=0)).evaluation
            if not evaluation.timing_dependent:
                break
        return evaluation

    def _remains(self, took_s: float, limits: Limits) -> dict[Sign, str]:
        left = self._canaries.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left:
            return {Sign.REMAINS: f"{len(left)} processes"}
        deadline_s = limits.wall_s + _GRACE_S
        return {Sign.REMAINS: f"the evaluation took {took_s:.1f} s"} if took_s > deadline_s else {}

    async def _scores(self, evaluation: Evaluation, limits: Limits) -> dict[Sign, str]:
        """Compares scores with the honest one, the first that of the honest evaluation which follows on the same executor."""
        following = await self._evaluate_honest(limits)
        if following.objective is None or abs(following.objective - self._honest) > self._tolerance:
            return {Sign.SCORE: f"the next honest evaluation: {following.outcome} {following.objective} {following.feedback[:200]}"}
        if evaluation.outcome is Outcome.EVALUATOR_FAILED:
            return {Sign.SCORE: f"the evaluator failed: {evaluation.feedback[-300:]}"}
        if evaluation.objective is None:
            return {}
        direction = self._task.objective.direction
        if direction.oriented(evaluation.objective) > direction.oriented(self._honest) + self._tolerance:
            return {Sign.SCORE: f"{evaluation.objective} is better than the honest {self._honest}"}
        return {}


def try_all(task: Task, isolation: Isolation, programs: tuple[Hostile, ...]) -> list[Observation]:
    """Tries programs one after the other on a task; those that would harm the machine at this level are left out."""

    async def tried() -> list[Observation]:
        async with ProvingGround(task, isolation) as ground:
            return [await ground.run(program) for program in programs if ground.runs(program)]

    return asyncio.run(tried())
