"""What the loop asks of something that makes a child's source from a parent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from evolve.program import Evaluation, Files, Program, Reply, Task


class Scored(NamedTuple):
    """A program with its evaluation."""

    program: Program
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class MutationRequest:
    """Everything a mutator may look at.

    Attributes:
        task: What is being solved.
        parent: What to change.
        inspirations: Other programs to learn or borrow from, best first.
        complaints: Why earlier attempts at this same step came to nothing, oldest first.
    """

    task: Task
    parent: Scored
    inspirations: tuple[Scored, ...] = ()
    complaints: tuple[str, ...] = ()


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
