"""What the tests of the local mutators share."""

from __future__ import annotations

import asyncio

import numpy as np

from evolve.edits import mutable_regions
from evolve.mutation import MutationRequest, Scored
from evolve.mutators.source import PythonSource
from evolve.program import Direction, Evaluation, Objective, Outcome, Program, Task


def source_of(text: str) -> PythonSource:
    return PythonSource("a.py", text, mutable_regions({"a.py": text})["a.py"])


def scored(text: str, *, step: int = 0, objective: float = 1.0, strategy: dict[str, float] | None = None) -> Scored:
    return Scored(Program.make(step, {"a.py": text}, strategy=strategy), Evaluation(Outcome.OK, objective))


def request(parent: Scored, *inspirations: Scored, direction: Direction = Direction.MAXIMIZE) -> MutationRequest:
    return MutationRequest(Task("t", parent.program.files, Objective(direction=direction)), parent, inspirations)


def reply_of(mutator, asked: MutationRequest, seed: int = 0):
    return asyncio.run(mutator.generate(asked, np.random.default_rng(seed)))


def child_of(mutator, asked: MutationRequest, seed: int = 0) -> str:
    return mutator.apply(reply_of(mutator, asked, seed), asked.parent.program)["a.py"]
