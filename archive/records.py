"""What the archive writes down of a step, stage by stage, and reads back to fold a run's state.

Every record belongs to one run and one step. A step makes one plan, then one or more attempts (reply, then either an edit
failure or a screen), at most one program and evaluation, and ends with one addition. All are append-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from evolve.program import Evaluation, Files, Outcome, Program, Reply, source_sha256

#: In place of an attempt's number in the calls that notes are asked by: they belong to the step whose addition made a note due,
#: and are none of its attempts, so that its own cost does not change after its end.
NOTE_ATTEMPT = -1
#: Where notes come from that no model has written.
COUNTED = "counted"


class Verdict(StrEnum):
    """What screening found."""

    NEW = "new"
    KNOWN = "known"
    """The same source, but for comments and formatting, as a known program, whose evaluation is reused."""
    NEAR = "near"
    """Too close to a known program."""


class Likeness(StrEnum):
    """What a judge found when it compared a child with the nearest known program."""

    SAME = "same"
    """It does the same: it is rejected as a near copy."""
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    """Nobody said, or not so that it could be read: it passes for different."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a step sets out to do.

    Attributes:
        step: Its number, from 1.
        version: The archive version that the plan saw: additions made before it.
        island: Where it works.
        parent: Identifier of the program to change.
        inspirations: Identifiers of programs to learn from, best first.
        arm: The arm pulled.
        failures: Identifiers of the parent's failed children, the latest first.
        unavailable: Arms that could not be pulled when it was made: their models were down, or too dear for what is left.
        usd_per_step: Dollars left per step left when it was made; None without a dollar budget.
        new_approach: Whether the search stands still, so that another approach is asked for than the parent's.
    """

    step: int
    version: int
    island: int
    parent: str
    inspirations: tuple[str, ...]
    arm: str
    failures: tuple[str, ...] = ()
    unavailable: tuple[str, ...] = ()
    usd_per_step: float | None = None
    new_approach: bool = False


@dataclass(frozen=True, slots=True)
class CallBegun:
    """A call of a language model that is about to be sent.

    Attributes:
        step, attempt: Whose attempt it is for.
        number: Of the attempt's calls, from 0: a retry is a call of its own.
        model: ``PROVIDER/MODEL``.
        reserved_usd: The most that it can cost; it counts as spent until the call's end is known.
    """

    step: int
    attempt: int
    number: int
    model: str
    reserved_usd: float


@dataclass(frozen=True, slots=True)
class CallEnded:
    """What came of a call.

    Attributes:
        step, attempt, number: Which call.
        outcome: ``"ok"``, ``"length"``, ``"refused"``, ``"empty"``, the name of a failure, or ``"cancelled"``.
        tokens_in, tokens_cached, tokens_out, tokens_reasoning: As the provider counts them, or estimated where it counts none.
        usd: What it cost.
        latency_s: How long it took.
        presumed: Whether ``usd`` is what was reserved, because nobody said what was spent.
        error: What went wrong; empty when nothing did.
    """

    step: int
    attempt: int
    number: int
    outcome: str
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    tokens_reasoning: int = 0
    usd: float = 0.0
    latency_s: float = 0.0
    presumed: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Screen:
    """Whether a child is new.

    Attributes:
        step, attempt: Whose child it is; attempts count from 0.
        version: The archive version that was compared with.
        verdict: What was found.
        nearest: Identifier of the known program it repeats or resembles most, if any.
        similarity: Cosine with the nearest program's embedding; None where none was computed.
        borderline: Whether a judge is to be asked before the verdict holds; never so of one that is recorded.
    """

    step: int
    attempt: int
    version: int
    verdict: Verdict
    nearest: str | None = None
    similarity: float | None = None
    borderline: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a model said of a borderline child, in comparison with the program that its screen names.

    Attributes:
        step, attempt: Whose child it is.
        found: What it comes to.
        why: The model's reason, in a line; empty without any.
        source: The model that was asked, ``PROVIDER/MODEL``.
        prompt, reply: What it was told, and its whole answer; both empty where it did not answer.
        tokens_in, tokens_out: Of the answer; what it cost is in the calls.
        latency_s: How long it took.
        error: Why nothing was found; empty when something was.
    """

    step: int
    attempt: int
    found: Likeness
    why: str = ""
    source: str = ""
    prompt: str = ""
    reply: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    latency_s: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Addition:
    """The end of a step.

    Attributes:
        version: Additions made up to and with this one, from 0 for the initial program: the archive's version. Further
            starting programs come before it, with versions below 0.
        step: Which step ended; 0 is the initial program's, those of further starting programs are below.
        outcome: How it ended.
        program: Identifier of its program; None when no attempt made one.
        reward: What the arm earned, in [0, 1].
        improved: Whether the program became the run's best.
        traits: What the population places the program by (see `evolve.archive.traits`); empty where it asks for nothing.
    """

    version: int
    step: int
    outcome: Outcome
    program: str | None = None
    reward: float = 0.0
    improved: bool = False
    traits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """What is said of a run so far, for prompts to draw from.

    Attributes:
        about: The archive version whose additions it was made from.
        version: The first archive version whose plans' prompts hold it: the latest note of their version, or of an earlier one.
        text: What it says.
        source: `COUNTED`, or the model that wrote it, ``PROVIDER/MODEL``.
        prompt, reply: What the model was told, and its whole answer; empty where none was asked.
        tokens_in, tokens_out: Of the answer; what it cost is in the calls.
        latency_s: How long it took.
        error: Why the model's answer is not what it says; empty when nothing went wrong.
    """

    about: int
    version: int
    text: str
    source: str = COUNTED
    prompt: str = ""
    reply: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    latency_s: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class FoundLimit:
    """A limit of nearness that was found by what small edits do to embeddings (see `evolve.calibration`).

    Attributes:
        min_distance: The limit; None where copies are not told from edits.
        copy: The largest distance of a rewrite that changes nothing.
        edits: Distances of the edits that were tried, ascending.
    """

    min_distance: float | None
    copy: float
    edits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """One finished step as the fold over a run needs it, without any source text.

    Attributes:
        addition: How it ended.
        plan: What it set out to do; None for a starting program.
        fingerprint: Of its program (see `evolve.archive.novelty.fingerprint`); empty when it has none.
        objective: Its program's objective; None unless the outcome is ``OK``.
        size: Characters of its program's source.
        reused: Whether its evaluation was copied from a known program.
        cost_usd: What its calls cost, those that brought no reply included.
    """

    addition: Addition
    plan: Plan | None
    fingerprint: str = ""
    objective: float | None = None
    size: int = 0
    reused: bool = False
    cost_usd: float = 0.0


@dataclass(slots=True)
class PendingStep:
    """A step that was planned and not added when the run stopped: what of it is on disk.

    Attributes:
        plan: What it set out to do.
        replies: By attempt.
        edit_failures: Why an attempt's reply could not be applied, by attempt.
        screens: By attempt.
        judgements: By attempt, of those whose child was borderline.
        program: Its program, once one was accepted.
        evaluation: Of that program, once there is one.
        calls: Calls of language models that were begun, by attempt.
    """

    plan: Plan
    replies: dict[int, Reply] = field(default_factory=dict)
    edit_failures: dict[int, str] = field(default_factory=dict)
    screens: dict[int, Screen] = field(default_factory=dict)
    judgements: dict[int, Judgement] = field(default_factory=dict)
    program: Program | None = None
    evaluation: Evaluation | None = None
    calls: dict[int, int] = field(default_factory=dict)

    @property
    def awaits_reply(self) -> bool:
        """Whether it has no new program yet, so that its arm is being asked, or will be."""
        return all(screen.verdict is not Verdict.NEW for screen in self.screens.values())


@dataclass(frozen=True, slots=True)
class Start:
    """A starting point of a run: a program that is scored before its first step.

    Attributes:
        origin: What names it: ``"initial"``, a file or folder as it was given, or ``RUN/PROGRAM``.
        files: Its source.
    """

    origin: str
    files: Files

    @property
    def source_sha256(self) -> str:
        """Hash of its source (see `evolve.program.source_sha256`)."""
        return source_sha256(self.files)


@dataclass(frozen=True, slots=True)
class NewRun:
    """What is known of a run when it starts; never changes afterwards.

    Attributes:
        task: The task's name.
        task_origin: Where the task was found.
        task_folder: Its folder; empty for an inline task.
        evaluator_sha256: Hash of everything that decides a score.
        direction: ``"maximize"`` or ``"minimize"``.
        metric: Name of the objective.
        seed: The run's random seed.
        config: The resolved configuration, as plain JSON values.
        versions: Versions of Python, this package and what it depends on.
        commit: Git commit of the task's folder; empty where there is none.
        command: A command line that repeats the run.
        name: What the user calls it; empty to get one made from the task's name and the run's number.
        rescores: Number of the run whose programs it scores again; None for a search.
    """

    task: str
    task_origin: str
    task_folder: str
    evaluator_sha256: str
    direction: str
    metric: str
    seed: int
    config: Mapping[str, object]
    versions: Mapping[str, str]
    commit: str = ""
    command: str = ""
    name: str = ""
    rescores: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord(NewRun):
    """A run as the archive has it: what was known when it started, and what came of that at once.

    Attributes:
        number: Its ordinal in the archive, from 1.
        created_at: When it was made, in seconds since 1970.
        initial_program: Identifier of the initial program; None until it was scored.
        initial_files: Source of the initial program; empty until it was scored.
    """

    number: int
    created_at: float
    initial_program: str | None = None
    initial_files: Files = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    """The latest time that a run was driven.

    Attributes:
        status: ``"running"`` while a living process writes the run; ``"finished"``, ``"stopped"`` or ``"failed"``.
        asked_steps: Steps asked for, those of earlier sessions included.
        reason: Why it stopped or failed; otherwise empty.
        seconds: Wall-clock seconds of all sessions of the run.
        began_at: When it began, in seconds since 1970.
        writing: Whether a living process holds the run's writer lock.
        budget_usd: Dollars allowed, those of earlier sessions included; None is no limit.
    """

    status: str
    asked_steps: int
    reason: str
    seconds: float
    began_at: float
    writing: bool
    budget_usd: float | None = None
