"""The frozen records that every part of `evolve` exchanges: tasks, programs, evaluations.

Plain data: no record opens a file, reads a clock or knows how it is stored. Serialising belongs to `evolve.archive.store`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from evolve.companions import Attack as Attack  # noqa: PLC0414 - one of the names of this module
from evolve.companions import Baseline as Baseline  # noqa: PLC0414 - one of the names of this module
from evolve.companions import BaselinesTable as BaselinesTable  # noqa: PLC0414 - one of the names of this module
from evolve.errors import TaskError
from evolve.limits import Build as Build  # noqa: PLC0414 - one of the names of this module
from evolve.limits import Limits as Limits  # noqa: PLC0414 - one of the names of this module
from evolve.limits import Smoke as Smoke  # noqa: PLC0414 - one of the names of this module

Files = Mapping[str, str]
"""A program's source: path relative to the program's folder -> text."""


class Outcome(StrEnum):
    """How one step, or one evaluation, ended. Only ``OK`` has an objective."""

    OK = "ok"
    INVALID = "invalid"
    """The program answered, but not with something that counts: wrong shape or type, NaN, a failed check."""
    CRASHED = "crashed"
    """The program raised, exited or was killed by a signal."""
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    EVALUATOR_FAILED = "evaluator_failed"
    """The task's own ``evaluate.py`` raised or hung: the task's author has something to mend."""
    REJECTED = "rejected"
    """Not evaluated: a copy, or too near a copy, of a known program."""
    EDIT_FAILED = "edit_failed"
    """Not evaluated: the mutator's reply could not be turned into a program."""
    MODEL_FAILED = "model_failed"
    """Not evaluated: the language model did not answer, however often it was asked."""


class Direction(StrEnum):
    """Whether more or less of a number is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"

    def oriented(self, value: float) -> float:
        """Returns ``value`` with its sign set so that larger is better."""
        return value if self is Direction.MAXIMIZE else -value


class Isolation(StrEnum):
    """How much the kernel keeps a program from doing, weakest first (see `evolve.evaluators.sandbox`)."""

    PROCESS = "process"
    LANDLOCK = "landlock"
    STRONG = "strong"

    @property
    def rank(self) -> int:
        """0 for the weakest level."""
        return list(Isolation).index(self)


#: Origins of tasks (`Task.origin`) whose evaluators always share their program's process.
SHARED_ORIGINS = frozenset(("openevolve", "skydiscover", "shinkaevolve"))


@dataclass(frozen=True, slots=True)
class Objective:
    """The one number that selection optimises.

    Attributes:
        metric: Its name, as tables and prompts print it.
        direction: Whether more or less is better.
        best_known: The best value anybody is known to have reached, in the metric's own unit.
        best_known_source: Where that value comes from.
        repeats: How often one evaluation measures it, each time in a fresh process with another program seed; it counts with
            their mean. For scores with noise.
        tolerance: Relative difference up to which two evaluations of one program agree; 0 for scores without noise.
    """

    metric: str = "score"
    direction: Direction = Direction.MAXIMIZE
    best_known: float | None = None
    best_known_source: str = ""
    repeats: int = 1
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise TaskError(f"objective.repeats must be >= 1, got {self.repeats!r}")
        if not 0 <= self.tolerance < math.inf:
            raise TaskError(f"objective.tolerance must be >= 0, got {self.tolerance!r}")


@dataclass(frozen=True, slots=True)
class Task:
    """An initial program, how to score it, and within which limits.

    Attributes:
        name: What `evolve run` calls it.
        files: Source of the initial program.
        objective: What selection optimises.
        limits: What one evaluation may use.
        summary: One line for `evolve task list`.
        subject: The field it belongs to, such as ``"geometry"``.
        background: What a mutator should know about the problem (Markdown).
        prompts: Folder of templates that replace built-in ones of `evolve.prompts`; None for none.
        origin: Where it was found: ``"bundled"``, ``"folder"``, ``"inline"``, the installed package's name, or one of
            `SHARED_ORIGINS` for another framework's folder.
        folder: Where its files lie; None for a task given inline.
        evaluate: The scoring function of an inline task; a folder's lives in its ``evaluate.py``.
        smoke_test: What an inline task's programs must pass before they are evaluated.
        holdout: What an inline task's finished results are scored with.
        paired: What an inline task's programs are measured with, by a seed.
        evaluator_sha256: Hash of everything that decides a score.
        attacks: Programs that must not gain.
        baselines: Programs that others are measured against.
        baselines_table: What the report on them shows.
        run: The ``[run]`` table of its ``task.toml``: defaults for a run's configuration.
        smoke: What the smoke test may use, and must yield.
        shared_process: Whether its programs run in one process with what scores them, all of it in the sandbox, so that a
            program could forge its score.
        build: How programs are built before they are executed; None for nothing to build.
        command: What ``program.execute`` and ``program.session`` run, word by word; empty where programs are only called.
        requires: Tools that must be installed, besides those that ``build`` and ``command`` begin with.
        resources: What one evaluation takes of a cluster's own resources, by name, besides what ``limits`` says.
    """

    name: str
    files: Files
    objective: Objective = Objective()
    limits: Limits = Limits()
    summary: str = ""
    subject: str = ""
    background: str = ""
    prompts: Path | None = None
    origin: str = "inline"
    folder: Path | None = None
    evaluate: Callable[..., Any] | None = None  # Any: what an author returns is checked where it is called
    smoke_test: Callable[..., Any] | None = None  # Any: see above
    holdout: Callable[..., Any] | None = None  # Any: see above
    paired: Callable[..., Any] | None = None  # Any: see above
    evaluator_sha256: str = ""
    attacks: tuple[Attack, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    baselines_table: BaselinesTable = BaselinesTable()
    run: Mapping[str, Any] = field(default_factory=dict)  # Any: TOML values; config.py checks every one
    smoke: Smoke = Smoke()
    shared_process: bool = False
    build: Build | None = None
    command: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Program:
    """Source and ancestry.

    Attributes:
        program_id: Hash of step, parents and source; unique within its run.
        step: The step that made it; 0 is the initial program.
        files: Its source.
        parents: Identifiers of the programs it was made from, the parent first.
        generation: Distance from the initial program along first parents.
        strategy: What mutators pass on from parent to child, such as a self-adapted step size.
    """

    program_id: str
    step: int
    files: Files
    parents: tuple[str, ...] = ()
    generation: int = 0
    strategy: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def make(
        cls, step: int, files: Files, parents: tuple[Program, ...] = (), strategy: Mapping[str, float] | None = None
    ) -> Program:
        """Makes the child of ``parents`` (none for the initial program) with its identifier and generation."""
        ids = tuple(parent.program_id for parent in parents)
        return cls(
            program_id=program_id(step, ids, files),
            step=step,
            files=dict(sorted(files.items())),
            parents=ids,
            generation=parents[0].generation + 1 if parents else 0,
            strategy=dict(strategy if strategy is not None else (parents[0].strategy if parents else {})),
        )

    @property
    def source_sha256(self) -> str:
        """Hash of its source (see `source_sha256`)."""
        return source_sha256(self.files)


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured number.

    Attributes:
        value: Finite.
        direction: Whether more or less of it is better; None when neither is.
    """

    value: float
    direction: Direction | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"a metric must be finite, got {self.value!r}")
        if self.direction is not None:
            # A task's author may write it as in task.toml.
            object.__setattr__(self, "direction", Direction(self.direction))


class Stage(StrEnum):
    """The part of a task's evaluator that decided an outcome."""

    SMOKE = "smoke"
    EVALUATE = "evaluate"
    HOLDOUT = "holdout"
    PAIRED = "paired"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What scoring one program found.

    Attributes:
        outcome: How it ended.
        objective: In the metric's own unit and direction; None unless the outcome is ``OK``.
        metrics: All numbers, the objective not among them.
        feedback: Text for the next prompt: what the evaluator says, or traceback tail and standard error.
        cpu_s: CPU seconds of the program's process tree.
        wall_s: Wall-clock seconds of the whole evaluation.
        isolation: The level it ran at; None when nothing ran.
        evaluator_sha256: Hash of the evaluator that scored it.
        timing_dependent: Whether the outcome hung on the wall clock, and so on the machine's load.
        reused_from: Identifier of the program whose evaluation this is a copy of.
        stage: Where it ended.
        instances: What the objective is made of, by the name of the instance.
        values: The objective as it was measured repeatedly; empty when it was measured once.
        standard_error: Of the objective as the mean of ``values``; None when it was measured once.
        verified: Whether a second evaluation in another sandbox agreed; None when there was none.
        shared_process: Whether the program ran in one process with what scored it (see `Task`).
        host: The machine that it ran on, where that was chosen by a cluster.
    """

    outcome: Outcome
    objective: float | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    feedback: str = ""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    isolation: Isolation | None = None
    evaluator_sha256: str = ""
    timing_dependent: bool = False
    reused_from: str | None = None
    stage: Stage = Stage.EVALUATE
    instances: Mapping[str, float] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    standard_error: float | None = None
    verified: bool | None = None
    shared_process: bool = False
    host: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if (self.objective is not None) != (self.outcome is Outcome.OK):
            raise ValueError(f"outcome {self.outcome} with objective {self.objective!r}: only 'ok' has an objective")
        if self.objective is not None and not math.isfinite(self.objective):
            raise ValueError(f"an objective must be finite, got {self.objective!r}")

    @property
    def ok(self) -> bool:
        """Whether it has an objective."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True, slots=True)
class Reply:
    """What a mutator answered, before it is applied: durable, so that it is never asked (or paid) for twice.

    Attributes:
        text: The edit in the mutator's own notation; the mutator that wrote it reads it.
        strategy: What the child inherits instead of the parent's own.
        parents: Identifiers of the inspirations that it took source from.
        prompt: What was asked, as JSON: a list of ``[role, text]``; empty for mutators that ask nobody.
        tokens_in, tokens_out: As the provider counts them, over all calls of the attempt.
        cost_usd: What these calls cost.
        latency_s: How long the answer took.
        finish: Why the answer ended (see `evolve.llm.base.Finish`); an answer that was cut off is kept, and judged when it
            is applied.
        request_sha256: Hash of exactly what the model was asked, with its settings; empty for mutators that ask nobody.
    """

    text: str
    strategy: Mapping[str, float] | None = None
    parents: tuple[str, ...] = ()
    prompt: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    latency_s: float = field(default=0.0, compare=False)
    finish: str = "stop"
    request_sha256: str = ""


def source_sha256(files: Files) -> str:
    """Hashes a source: of a single file its text, of several their paths and texts in path order."""
    if len(files) == 1:
        return hashlib.sha256(next(iter(files.values())).encode()).hexdigest()
    digest = hashlib.sha256()
    for path, text in sorted(files.items()):
        # Lengths first, so that moving text from one file to the next changes the hash.
        digest.update(f"{len(path.encode())} {len(text.encode())} {path}\n{text}".encode())
    return digest.hexdigest()


def program_id(step: int, parents: tuple[str, ...], files: Files) -> str:
    """Identifies a program within its run: 12 hexadecimal digits of a hash of step, parents and source."""
    text = f"{step} {' '.join(parents)} {source_sha256(files)}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
