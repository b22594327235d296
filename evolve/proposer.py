"""Makes a child: parent + inspirations + history -> arm -> reply -> source, with every edit checked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, overload

from evolve.archive.records import Plan
from evolve.edits import check_edit
from evolve.mutation import Complaint, MutationFailed, MutationRequest, Mutator, Scored
from evolve.program import Evaluation, Program, Reply, Task
from evolve.rng import generator

#: How far back prompts look.
_ANCESTORS = 6


class Sources(Protocol):
    """Where programs are looked up by identifier."""

    def program_of(self, program_id: str) -> tuple[Program, Evaluation]:
        """Returns a program of the run with its evaluation."""
        ...


class _LookedUp(Sequence[Scored]):
    """Programs that are looked up when they are looked at: few mutators do, and the archive has to be read for old ones."""

    def __init__(self, look_up: Callable[[], tuple[Scored, ...]]) -> None:
        self._programs = functools.cache(look_up)

    def __len__(self) -> int:
        return len(self._programs())

    @overload
    def __getitem__(self, index: int) -> Scored: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Scored, ...]: ...

    def __getitem__(self, index: int | slice) -> Scored | tuple[Scored, ...]:
        return self._programs()[index]


class Proposer:
    """Asks the planned arm and turns its reply into a program."""

    def __init__(
        self,
        task: Task,
        seed: int,
        arms: Mapping[str, Mutator],
        sources: Sources,
        *,
        best_at: Callable[[int], str | None],
        advice: Callable[[], tuple[str, ...]] = tuple,
        notes_at: Callable[[int], str] = lambda _: "",
        recorded: Mapping[tuple[int, int], Reply] | None = None,
    ) -> None:
        """Puts the parts together.

        Args:
            task: What is being solved.
            seed: The run's seed.
            arms: Mutators by the names that plans use.
            sources: Where parents and inspirations are looked up.
            best_at: Returns the identifier of the best program of an archive's version, where prompts may hold it.
            advice: Reads what people told the run so far.
            notes_at: Returns the notes that are there for plans of an archive's version.
            recorded: Replies by (step, attempt) to give instead of asking.
        """
        self._recorded = recorded or {}
        self._task = task
        self._seed = seed
        self._arms = arms
        self._sources = sources
        self._best_at = best_at
        self._advice = advice
        self._notes_at = notes_at

    async def ask(self, plan: Plan, attempt: int, complaints: Sequence[Complaint]) -> Reply:
        """Asks the plan's arm for an edit.

        Raises:
            MutationFailed: If it has nothing to offer.
            ModelError: If its model cannot answer.
        """
        if (plan.step, attempt) in self._recorded:
            return self._recorded[plan.step, attempt]
        request = self._request(plan, attempt, complaints)
        return await self._arms[plan.arm].generate(request, generator(self._seed, plan.step, f"generate/{attempt}"))

    def _request(self, plan: Plan, attempt: int, complaints: Sequence[Complaint]) -> MutationRequest:
        best = self._best_at(plan.version)
        parent = self._scored(plan.parent)
        return MutationRequest(
            task=self._task,
            parent=parent,
            inspirations=tuple(self._scored(program_id) for program_id in plan.inspirations),
            complaints=tuple(complaints),
            step=plan.step,
            attempt=attempt,
            failures=_LookedUp(lambda: tuple(self._scored(program_id) for program_id in plan.failures)),
            lineage=_LookedUp(lambda: self._lineage(parent.program)),
            best=None if best is None else self._scored(best),
            advice=self._advice(),
            notes=self._notes_at(plan.version),
            new_approach=plan.new_approach,
        )

    def _lineage(self, program: Program) -> tuple[Scored, ...]:
        """Looks up a program's ancestors along first parents, its own parent first."""
        ancestors: list[Scored] = []
        while program.parents and len(ancestors) < _ANCESTORS:
            ancestors.append(self._scored(program.parents[0]))
            program = ancestors[-1].program
        return tuple(ancestors)

    def child(self, plan: Plan, reply: Reply) -> Program:
        """Applies a reply to the plan's parent.

        Raises:
            MutationFailed: If it cannot be applied, or changes what must stay; the message says what.
        """
        parent = self._scored(plan.parent).program
        files = self._arms[plan.arm].apply(reply, parent)
        try:
            check_edit(parent.files, files)
        except ValueError as error:
            raise MutationFailed(str(error)) from error
        donors = tuple(self._scored(program_id).program for program_id in reply.parents)
        return Program.make(plan.step, files, (parent, *donors), reply.strategy)

    def _scored(self, program_id: str) -> Scored:
        return Scored(*self._sources.program_of(program_id))
