"""What an ``evaluate.py`` sees: the program behind its glass, and the score it hands back."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Protocol

from evolve.evaluators.calls import Callback, Hook, Hooks, Loss, LossValue, Refused, TensorHook
from evolve.evaluators.executed import Completed, Session
from evolve.evaluators.statistics import mean, standard_error
from evolve.program import Direction, Evaluation, Files, Metric, Outcome

__all__ = [
    "Callback",
    "Completed",
    "Direction",
    "Hook",
    "Hooks",
    "Invalid",
    "IsolatedProgram",
    "Loss",
    "LossValue",
    "Metric",
    "ProgramFailed",
    "Refused",
    "Score",
    "Session",
    "SiblingFailed",
    "TensorHook",
    "asked_again",
    "scored",
]


#: What a score's figure is called where it is written beside its artifacts.
FIGURE_FILE = "figure.png"


class Invalid(Exception):
    """An ``evaluate.py`` raises it when the program's answer does not count; the message is the feedback."""


class ProgramFailed(Exception):
    """The program crashed, ran out of time or memory, or answered with something that cannot cross.

    An ``evaluate.py`` need not catch it: left alone, it becomes the evaluation's outcome. Once raised, every further call
    of the same program raises it again.

    Attributes:
        outcome: How the program failed.
        feedback: Traceback tail, standard error, or which limit was passed.
        timing_dependent: Whether the wall clock decided.
    """

    def __init__(self, outcome: Outcome, feedback: str, *, timing_dependent: bool = False) -> None:
        super().__init__(feedback)
        self.outcome = outcome
        self.feedback = feedback
        self.timing_dependent = timing_dependent


class SiblingFailed(ProgramFailed):
    """A sibling of the program failed (see `IsolatedProgram.sibling`): the program itself is not to blame.

    Left alone, it makes the evaluation ``EVALUATOR_FAILED``.
    """


@contextmanager
def asked_again() -> Iterator[None]:
    """Inside, what fails is the program itself, as a sibling with its own source that is asked once more: it is to blame after all.

    Raises:
        Invalid: In place of `SiblingFailed`.
    """
    try:
        yield
    except SiblingFailed as failure:
        raise Invalid(f"asked again in a fresh process, the program failed: {failure.feedback}") from None


class IsolatedProgram(Protocol):
    """A program that runs elsewhere, in a sandbox; only plain data and numpy arrays cross.

    Programs in Python are called: the sandboxed process starts at the first call and ends with the evaluation. All its calls
    share that process, so a program may remember things from call to call. Programs in any language are executed, each time
    in a fresh process. What comes back is data in any case, to be checked by the evaluator.
    """

    @property
    def files(self) -> Files:
        """The program's source."""
        ...

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the program's process trees so far, measured outside them; building is not counted."""
        ...

    def call(
        self,
        function: str,
        *args: Any,  # Any: here and below, whatever plain data the two agree on
        callbacks: Mapping[str, Callback | Callable[..., Any]] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Calls a function of the program's first file and returns its answer.

        Arguments and answer are None, bool, int, float, str, bytes, list, tuple, dict with plain keys, and numpy arrays of
        numbers or bool. Tuples come back as tuples, numpy scalars as Python numbers.

        Args:
            function: Its name.
            args: Positional arguments.
            callbacks: Functions lent to the program until it has answered, by the name of the keyword argument that they
                arrive as. They run here, in the trusted process, one at a time, while the program waits; its wall clock
                stands still meanwhile. See `Callback` for limits and for what a function may raise.
            kwargs: Keyword arguments.

        Raises:
            ProgramFailed: If it does not answer within the limits, or not with such data, or oversteps a callback's limit.
            TypeError: If an argument, or what a callback returns, cannot cross, or if a callback has the name of an argument.
            ValueError: If a callback's name cannot be that of an argument.
            RuntimeError: If a callback calls the program, or the program was ended because a callback raised something.
            Exception: Whatever a callback raises, but for `Refused`; the program was ended then.
        """
        ...

    def hooks(self, *, shared_mb: int = 64) -> AbstractContextManager[Hooks]:
        """Shares memory with the program, for a loop here that calls it thousands of times with arrays.

        Args:
            shared_mb: Size of the memory, which all inputs and outputs of all bound functions have to fit in. What the
                program touches of it counts as its memory.

        Raises:
            ProgramFailed: If the program cannot be loaded.
            ValueError: If ``shared_mb`` is not positive.
            RuntimeError: If hooks of this program are open already.
        """
        ...

    def execute(
        self,
        args: Sequence[str] = (),
        stdin: str | bytes = b"",
        files: Mapping[str, str | bytes] | None = None,
        *,
        timeout_s: float | None = None,
        check: bool = True,
    ) -> Completed:
        """Runs the program's command in a fresh process and waits for its end; the program is built before the first time.

        Every execution begins with the same files, those of the program and those that its build left: what an earlier one
        wrote is gone. ``limits.timeout_s`` and the wall clock are of the whole evaluation, all other limits of one process
        tree. What fails here can be executed again, but for a program that does not build.

        Args:
            args: Arguments behind the ``[run] command`` of ``task.toml``.
            stdin: What it reads from its standard input.
            files: More files, by path relative to the program's folder; they may replace the program's own.
            timeout_s: CPU seconds of this execution, where that is less than what the evaluation has left; of the wall clock as
                many more as in the task's limits.
            check: Whether an exit status other than 0 is a failure.

        Raises:
            ProgramFailed: ``CRASHED`` if it does not build, is ended by a signal or has another exit status than 0;
                ``TIMED_OUT`` and ``OUT_OF_MEMORY``; ``INVALID`` if it prints more than ``limits.max_reply_mb``.
            ValueError: If a path leads out of the program's folder.
            RuntimeError: If the task has no command, or the program is running already.
        """
        ...

    def session(self, args: Sequence[str] = (), files: Mapping[str, str | bytes] | None = None) -> AbstractContextManager[Session]:
        """Runs the program's command in a fresh process to talk to it by its standard input and output.

        Args:
            args: See `execute`.
            files: See `execute`.

        Raises:
            ProgramFailed: If it does not build.
            ValueError: If a path leads out of the program's folder.
            RuntimeError: If the task has no command, or the program is running already.
        """
        ...

    def sibling(self, files: Files) -> IsolatedProgram:
        """Another program with the same command and limits in a sandbox of its own, such as the author's own answer to the task.

        Both can be executed by turns, which is how times are compared (see `evolve.evaluators.timing`). What it uses is not in
        `cpu_s`. Its build is kept for later evaluations, so that the same files are built once.

        Args:
            files: Its source, by path.
        """
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """What an ``evaluate.py`` returns for a program that counts.

    Attributes:
        objective: The number that selection optimises, finite; None for the mean of ``values``.
        metrics: Other numbers: plain, or `Metric` with a direction.
        feedback: What the next prompt should tell about this result.
        figure: Draws the result: called with a path to write a PNG to, in the trusted process, only when a figure is
            asked for.
        instances: What the objective is made of, by the name of the instance (a test case, a trace, a size).
        values: The objective as the evaluator measured it repeatedly, for scores with noise; its standard error is told.
        artifacts: Writes further files, by file name, in the way of ``figure``: tables, curves, samples.
    """

    objective: float | None = None
    metrics: Mapping[str, float | Metric] = field(default_factory=dict)
    feedback: str = ""
    figure: Callable[[str], None] | None = None
    instances: Mapping[str, float] = field(default_factory=dict)
    values: Sequence[float] = ()
    artifacts: Mapping[str, Callable[[str], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.objective is None and len(self.values) == 0:
            raise ValueError("a Score needs an objective, or values whose mean is the objective")
        for name in self.artifacts:
            if PurePath(name).name != name or name in ("", "..", FIGURE_FILE):
                raise ValueError(f"an artifact needs a file name without a folder, and other than {FIGURE_FILE}, got {name!r}")


def _number(name: str, value: object) -> float:
    """Returns ``value`` as a finite float.

    Raises:
        Invalid: If it is not a number, or not a finite one.
    """
    # bool is a number to Python, never to a scorer; numpy's scalars register as numbers.
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise Invalid(f"{name} must be a number, got {type(value).__name__}")
    try:
        plain = float(value)
    except OverflowError:
        raise Invalid(f"{name} is an integer too large for a float") from None
    if not math.isfinite(plain):
        raise Invalid(f"{name} is {plain}, not a finite number")
    return plain


def scored(score: Score) -> Evaluation:
    """Turns a score into an evaluation with outcome ``OK``; numbers that are not finite make it ``INVALID``."""
    try:
        values = tuple(_number(f"value {k + 1} of {len(score.values)}", value) for k, value in enumerate(score.values))
        objective = mean(values) if score.objective is None and values else _number("the objective", score.objective)
        metrics = {}
        for name, value in score.metrics.items():
            direction = value.direction if isinstance(value, Metric) else None
            metrics[name] = Metric(_number(f"metric {name!r}", value.value if isinstance(value, Metric) else value), direction)
        instances = {str(name): _number(f"instance {name!r}", value) for name, value in score.instances.items()}
    except Invalid as invalid:
        return Evaluation(Outcome.INVALID, feedback=str(invalid))
    return Evaluation(
        Outcome.OK,
        objective,
        metrics,
        score.feedback,
        instances=instances,
        values=values if len(values) > 1 else (),
        standard_error=standard_error(values),
    )
