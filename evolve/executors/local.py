"""Evaluates programs in worker processes on this machine."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from evolve.errors import ExecutorError, IsolationError, TaskError
from evolve.evaluators.sandbox import require_level, strongest_level
from evolve.executors import messages
from evolve.executors.base import Evaluated, failed
from evolve.executors.deadlines import deadline_s, own_s, program_s
from evolve.executors.pickling import pickled
from evolve.executors.worker_process import WorkerDied, WorkerProcess
from evolve.program import Evaluation, Files, Isolation, Outcome, Stage, Task

logger = logging.getLogger(__name__)

#: The worker imports the evaluator and warms up its fork server: seconds, more where torch comes from a cold disk.
_START_TIMEOUT_S = 180.0
#: A worker that dies is most often somebody else's doing (a lack of memory, an administrator); twice is not.
_ATTEMPTS = 2


class LocalExecutor:
    """Runs up to so many evaluations at once, each in a worker process of its own; implements `Executor`.

    The first worker starts on entering, the others when they are needed. A worker is used again and again; one that
    dies, hangs or is cancelled is replaced.
    """

    def __init__(
        self, task: Task, workers: int = 1, isolation: Isolation | None = None, evaluator_grace_s: float | None = None
    ) -> None:
        """Starts nothing yet.

        Args:
            task: Whose programs are evaluated.
            workers: Evaluations that can run at once.
            isolation: The level to run programs at; None is the strongest that this machine offers.
            evaluator_grace_s: What an evaluator may take beyond its program's wall-clock limit before it counts as hung; None is
                what the task's limits say.
        """
        if workers < 1:
            raise ValueError(f"workers must be >= 1, got {workers}")
        self._task = task
        self._workers = workers
        self._isolation = isolation
        self._deadline_s = deadline_s(task, evaluator_grace_s)
        self._own_s = own_s(task, evaluator_grace_s)
        self._idle: list[WorkerProcess] = []
        self._free = asyncio.Semaphore(workers)
        self._busy: set[WorkerProcess] = set()
        self._ending: dict[WorkerProcess, asyncio.Task[None]] = {}
        self._entered = False

    @property
    def slots(self) -> int:
        return self._workers

    @property
    def isolation(self) -> Isolation:
        if self._isolation is None:
            raise ExecutorError("the isolation level is known once the executor is entered (async with)")
        return self._isolation

    async def __aenter__(self) -> Self:
        if self._isolation is None:
            self._isolation = strongest_level()
        else:
            require_level(self._isolation)
        self._idle.append(await self._start())
        self._entered = True
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._entered = False
        idle, self._idle = self._idle, []
        await asyncio.gather(*(worker.stop() for worker in idle), *map(self._end, [*self._busy]))

    async def evaluate(self, files: Files, *, seed: int, artifacts: bool = False, fresh: bool = False) -> Evaluated:
        request = messages.request(Stage.EVALUATE, files, seed, artifacts=artifacts, fresh=fresh)
        answer = await self._answer(request)
        assert answer is not None
        return answer

    async def holdout(self, files: Files, *, seed: int) -> Evaluation | None:
        request = messages.request(Stage.HOLDOUT, files, seed, fresh=True)
        answer = await self._answer(request)
        return None if answer is None else answer.evaluation

    async def paired(self, files: Files, *, seed: int, artifacts: bool = False) -> Evaluated | None:
        return await self._answer(messages.request(Stage.PAIRED, files, seed, artifacts=artifacts))

    async def _answer(self, request: Mapping[str, Any]) -> Evaluated | None:  # Any: plain data
        """Has a worker answer, another one if it dies meanwhile; None for a part of the evaluator that there is not."""
        if not self._entered:
            raise ExecutorError("the executor is not running; use it inside its context (async with)")
        died = ""
        async with self._free:
            for _ in range(_ATTEMPTS):
                try:
                    return await self._ask(request)
                except WorkerDied as error:
                    if not self._entered:
                        raise ExecutorError("the executor was left before the evaluation was over") from None
                    died = str(error)
                    logger.warning("a worker ended during an evaluation: %s", died)
        return failed(self._task, self._isolation, Outcome.CRASHED, f"the process that evaluates the program died twice: {died}")

    async def _ask(self, request: Mapping[str, Any]) -> Evaluated | None:  # Any: plain data
        """Has one worker evaluate a program; keeps the worker if that went well.

        Raises:
            WorkerDied: If the worker died.
        """
        worker = self._idle.pop() if self._idle else await self._restart()
        self._busy.add(worker)
        try:
            answer = await worker.request(request, self._deadline_s)
        except TimeoutError:
            text = (
                f"the task's evaluator did not finish within {self._deadline_s:g} s ({program_s(self._task):g} s for its "
                f"program and {self._own_s:g} s for itself, limits.evaluator_timeout_s){worker.log_tail()}"
            )
            await self._end(worker)
            return failed(self._task, self._isolation, Outcome.EVALUATOR_FAILED, text, timing_dependent=True)
        except BaseException:
            await self._end(worker)
            raise
        self._busy.discard(worker)
        self._idle.append(worker)
        return messages.from_plain(answer) if answer else None

    async def _end(self, worker: WorkerProcess) -> None:
        """Kills a worker and waits, even if the caller is cancelled meanwhile, until nothing of it is left."""
        worker.kill_now()
        if worker not in self._ending:
            self._ending[worker] = asyncio.create_task(worker.kill())
        await asyncio.shield(self._ending[worker])
        self._busy.discard(worker)
        self._ending.pop(worker, None)

    async def _restart(self) -> WorkerProcess:
        try:
            return await self._start()
        except (TaskError, IsolationError) as error:
            raise ExecutorError(f"no other worker can be started: {error}") from error

    async def _start(self) -> WorkerProcess:
        """Starts a worker that has loaded the task.

        Raises:
            TaskError: If the task's evaluator does not load.
            IsolationError: If the worker cannot run programs at the level.
        """
        greeting = {"task": pickled(self._task), "isolation": self.isolation.value, "import_path": [*sys.path]}
        worker = await WorkerProcess.start()
        self._busy.add(worker)
        try:
            answer = await worker.request(greeting, _START_TIMEOUT_S)
            if "failed" in answer:
                kind = IsolationError if answer["kind"] == IsolationError.__name__ else TaskError
                raise kind(answer["failed"])
        except TimeoutError:
            await self._end(worker)
            raise TaskError(f"task {self._task.name}: its evaluator does not load within {_START_TIMEOUT_S:g} s") from None
        except WorkerDied as died:
            await self._end(worker)
            raise TaskError(f"task {self._task.name}: its evaluator cannot be loaded: {died}") from died
        except BaseException:
            await self._end(worker)
            raise
        self._busy.discard(worker)
        return worker
