"""Repeats a recorded run in a fresh archive and reports every difference.

Plans, screens and additions happen at the recorded versions, so a run in any order can be repeated; local arms mutate again, other
arms answer with their recorded replies, and every program is evaluated again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evolve.archive.queries import steps
from evolve.archive.records import PendingStep, Settled
from evolve.archive.store import Archive
from evolve.arms import make_mutators
from evolve.config import is_local
from evolve.errors import ModelError
from evolve.judging import RecordedJudge
from evolve.llm.embedders import embedder_name, parse_embedder
from evolve.mutation import MutationFailed, MutationRequest, Mutator
from evolve.ordering import Recorded
from evolve.program import Files, Outcome, Program, Reply, Task
from evolve.recording import create, recorded
from evolve.search import Conditions
from evolve.session import Parts, drive
from evolve.vectors import ArchiveShelf, RecordedVectors


@dataclass(frozen=True, slots=True)
class Replay:
    """What repeating a run showed.

    Attributes:
        steps: Steps repeated.
        differences: One text for each value that came out differently; empty when the run repeats.
    """

    steps: int
    differences: tuple[str, ...]


class _Silent:
    """An arm that is never asked: what it replied is recorded, and only applied again."""

    def __init__(self, mutator: Mutator, unanswered: Collection[int]) -> None:
        self._mutator = mutator
        self._unanswered = unanswered
        self.name = mutator.name

    async def generate(self, request: MutationRequest, rng: np.random.Generator) -> Reply:
        if request.step in self._unanswered:
            raise ModelError("its model did not answer")
        raise MutationFailed("no reply is recorded for this attempt")

    def apply(self, reply: Reply, parent: Program) -> Files:
        return self._mutator.apply(reply, parent)


async def replay(archive: Archive, number: int, task: Task | None = None, changes: Mapping[str, object] | None = None) -> Replay:
    """Repeats a run.

    Args:
        archive: Where the run is recorded; nothing is written to it.
        number: Which run.
        task: The task of a run whose task was given inline.
        changes: Settings that no result depends on, such as where evaluations run; None values keep the recorded ones.

    Raises:
        EvolveError: If it cannot be repeated: the task is gone or its evaluator has changed.
    """
    settled, pending = archive.history(number)
    highest = max([1, *(item.addition.step for item in settled), *(item.plan.step for item in pending)])
    task, config = recorded(archive, number, task, {**(changes or {}), "steps": highest, "max_seconds": None})
    unanswered = {item.addition.step for item in settled if item.addition.outcome is Outcome.MODEL_FAILED}
    arms = {name: arm if is_local(name) else _Silent(arm, unanswered) for name, arm in make_mutators(task, config).items()}
    plans = [item.plan for item in settled if item.plan is not None] + [item.plan for item in pending]
    pulled = {plan.step: plan.arm for plan in plans}
    paid = archive.attempt_costs(number)
    replies = {
        key: dataclasses.replace(reply, cost_usd=paid.get(key, 0.0))
        for key, reply in archive.replies(number).items()
        if not is_local(pulled[key[0]])
    }
    conditions = {plan.step: Conditions.of(plan) for plan in plans}
    order = _order(archive, number, settled, pending)
    costs = {item.addition.step: item.cost_usd for item in settled}
    embedder = parse_embedder(config.novelty.embedder, config.models)
    parts = Parts(
        order=order,
        arms=arms,
        replies=replies,
        conditions=conditions,
        costs=costs,
        notes=archive.notes(number),
        vectors=None if embedder is None else RecordedVectors(embedder_name(embedder), ArchiveShelf(archive)),
        unembedded=archive.unembedded(number).keys(),
        judge=RecordedJudge(archive.judgements(number)),
    )
    with (
        tempfile.TemporaryDirectory(prefix="evolve-replay-") as folder,
        Archive.open(Path(folder) / "replay.db", create=True) as fresh,
    ):
        # Nobody is asked: neither prices nor templates are wanted, which may be gone or elsewhere.
        bare = dataclasses.replace(config, prices=None, prompts=dataclasses.replace(config.prompts, templates=None))
        copy = create(fresh, task, bare, "", starts=archive.starts(number), rescores=archive.run_record(number).rescores)
        ending = await drive(fresh, copy, task, config, parts=parts)
        if ending.reason == "interrupted":
            raise asyncio.CancelledError
        done = {item.addition.step for item in settled}
        before = [row for row in steps(archive, number) if row["step"] in done]
        differences = tuple(_differences(before, {row["step"]: row for row in steps(fresh, copy)}))
    return Replay(sum(item.addition.step > 0 for item in settled), differences)


def _order(archive: Archive, number: int, settled: list[Settled], pending: list[PendingStep]) -> Recorded:
    """Reads the versions that plans and screens saw, and the order of the additions."""
    plans = {item.plan.step: item.plan.version for item in settled if item.plan is not None}
    plans |= {item.plan.step: item.plan.version for item in pending}
    screens = {(screen.step, screen.attempt): screen.version for screen in archive.screens(number)}
    # Those before the initial program are further starting programs: they are added before there is an order.
    return Recorded(plans, screens, [item.addition.step for item in settled if item.addition.step >= 0])


def _differences(before: list[dict[str, Any]], after: Mapping[int, dict[str, Any]]) -> Iterator[str]:
    """Compares two runs' steps, timings left out."""
    for row in before:
        step = row["step"]
        if step not in after:
            yield f"step {step}: not repeated"
            continue
        for key, value in row.items():
            # What was spent without an answer leaves no reply to repeat it with.
            if key == "usd" and row["outcome"] == Outcome.MODEL_FAILED:
                continue
            if key.endswith(("_s", "_at")) or _untimed(value) == _untimed(after[step].get(key)):
                continue
            yield f"step {step}: {key} was {value!r} and is {after[step].get(key)!r}"


def _untimed(value: Any) -> Any:  # Any: JSON values
    """Leaves measured times out of a step's metrics: those whose names end in ``_s``."""
    if not isinstance(value, Mapping):
        return value
    return {name: number for name, number in value.items() if not name.endswith("_s")}
