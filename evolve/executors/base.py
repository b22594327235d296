"""What the loop asks of the place where programs are evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import NamedTuple, Protocol, Self

from evolve.evaluators.base import FIGURE_FILE
from evolve.program import Evaluation, Files, Isolation, Outcome, Task


class Evaluated(NamedTuple):
    """An evaluation and, where they were asked for, the files that the evaluator wrote.

    Attributes:
        evaluation: What was found.
        figure_png: The figure that the evaluator drew.
        artifacts: Contents of its further files, by name.
    """

    evaluation: Evaluation
    figure_png: bytes | None = None
    artifacts: Mapping[str, bytes] = MappingProxyType({})

    @property
    def files(self) -> dict[str, bytes]:
        """Contents of all of these files by name, the figure among them."""
        return {**({} if self.figure_png is None else {FIGURE_FILE: self.figure_png}), **self.artifacts}


class Executor(Protocol):
    """Evaluates programs of one task, several at once.

    An executor is bound to its task when it is made and is an asynchronous context manager: entering starts what it needs
    (worker processes, a cluster) and proves that the task's evaluator loads; leaving ends every process it started.

    **Calls.** `evaluate` may be called ``slots`` times at once from one event loop, in any order; results come back as
    they finish. A cancelled call ends its program's process tree.

    **Results.** Depend on the source and the seed alone, never on what else runs or ran. A program that fails is an
    `Evaluation`; work lost to infrastructure is repeated inside the executor, and a program that ends its worker twice is
    ``CRASHED``. Deadlines are the executor's business: a program does not outlive the task's
    limits by more than 100 ms, and an evaluator that hangs is ended as ``EVALUATOR_FAILED`` after a grace of the executor's own.

    **Errors.** Entering raises `TaskError` when ``evaluate.py`` cannot be loaded and `IsolationError` when the level asked
    for is not to be had; `evaluate` raises `ExecutorError` when there is nothing left to run on.
    """

    @property
    def slots(self) -> int:
        """Evaluations that can run at once; on a cluster that changes as nodes join and leave."""
        ...

    @property
    def isolation(self) -> Isolation:
        """The weakest level that its programs run at; known once entered."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def evaluate(self, files: Files, *, seed: int, artifacts: bool = False, fresh: bool = False) -> Evaluated:
        """Scores one program.

        Args:
            files: Its source.
            seed: What the program's global generators are seeded with.
            artifacts: Whether to draw the evaluator's figure and write its further files as well.
            fresh: Whether to use a sandbox apart from the one that the search's programs run in, for re-verification.
        """
        ...

    async def holdout(self, files: Files, *, seed: int) -> Evaluation | None:
        """Scores a finished result on data that the search never sees; None if the task's evaluator has none.

        Args:
            files: The result's source.
            seed: What the program's global generators are seeded with.
        """
        ...

    async def paired(self, files: Files, *, seed: int, artifacts: bool = False) -> Evaluated | None:
        """Measures a program once, so that another one with the same seed sees the same random numbers.

        Args:
            files: Its source.
            seed: What the evaluator's randomness comes from, and the program's global generators are seeded with.
            artifacts: See `evaluate`.

        Returns:
            None if the task's evaluator has no such measurement.
        """
        ...


def failed(
    task: Task, isolation: Isolation | None, outcome: Outcome, feedback: str, *, timing_dependent: bool = False
) -> Evaluated:
    """Makes the evaluation of a program whose worker did not answer.

    Args:
        task: Whose program it is.
        isolation: The level that it ran at.
        outcome: What it came to.
        feedback: Why.
        timing_dependent: Whether that hung on the clock.
    """
    return Evaluated(
        Evaluation(
            outcome,
            feedback=feedback,
            isolation=isolation,
            evaluator_sha256=task.evaluator_sha256,
            timing_dependent=timing_dependent,
            shared_process=task.shared_process,
        )
    )
