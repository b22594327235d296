"""What the loop asks of something that makes a child's source from a parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from evolve.program import Evaluation, Files, Program, Reply, Task


class Scored(NamedTuple):
    """A program with its evaluation."""

    program: Program
    evaluation: Evaluation


class Complaint(NamedTuple):
    """Why an attempt at a step came to nothing, and the reply that it was made from; empty when there was none."""

    why: str
    reply: str = ""


@dataclass(frozen=True, slots=True)
class MutationRequest:
    """Everything a mutator may look at.

    Attributes:
        task: What is being solved.
        parent: What to change.
        inspirations: Other programs to learn or borrow from, best first.
        complaints: About earlier attempts at this same step, oldest first.
        step, attempt: Which attempt at which step this is; attempts count from 0.
        failures: Children of the parent that failed, the latest first.
        lineage: The parent's ancestors, its own parent first, as far back as prompts look.
        best: The best program that the plan saw; None before any has scored, and where the strategy tells nothing of the run.
        advice: What people told the run while it went on, oldest first.
        notes: What worked and failed in the run so far; empty before anything is known, and where the strategy tells nothing of it.
        new_approach: Whether another approach is asked for than the parent's.
    """

    task: Task
    parent: Scored
    inspirations: tuple[Scored, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    step: int = 0
    attempt: int = 0
    failures: Sequence[Scored] = ()
    lineage: Sequence[Scored] = ()
    best: Scored | None = None
    advice: tuple[str, ...] = ()
    notes: str = ""
    new_approach: bool = False


class Mutator(Protocol):
    """Makes a child's source from a parent, in two halves with a durable reply between them.

    **Randomness.** All chance comes from ``rng``; the same request and generator give the same reply. Language models
    break that, which is why replies are recorded.

    **Errors.** `generate` raises `MutationFailed` when it has nothing to offer and `ModelError` when its model cannot
    answer. `apply` is pure: the same reply and parent give the same files, and it raises `MutationFailed` with a message
    that a model can act on. Whatever `apply` returns lies within the parent's mutable regions; the loop checks it all the
    same.
    """

    @property
    def name(self) -> str:
        """How arms, tables and records call it, such as ``"local/literals"``."""
        ...

    async def generate(self, request: MutationRequest, rng: np.random.Generator) -> Reply:
        """Answers a request."""
        ...

    def apply(self, reply: Reply, parent: Program) -> Files:
        """Turns the reply into the child's source."""
        ...


class MutationFailed(Exception):
    """There is nothing to change, or the reply cannot be applied; the message says why, for the next attempt to read."""
