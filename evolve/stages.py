"""One step, from plan to result: generate → edit → screen → evaluate.

What a stage makes is committed before the next stage uses it. A step that was open when its run was killed is given what the
archive holds of it (`PendingStep`) and passes through the same stages again, skipping what is there: no reply is asked for
twice, no program is evaluated twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evolve.archive.novelty import fingerprint
from evolve.archive.records import Judgement, Likeness, PendingStep, Plan, Screen, Verdict
from evolve.archive.store import RunWriter
from evolve.archive.traits import measure
from evolve.edits import mutable_text
from evolve.embedding import Embeds
from evolve.errors import ModelError
from evolve.executors.base import Executor
from evolve.gate import Gate
from evolve.judging import Judge
from evolve.llm.stopping import Stopping
from evolve.mutation import Complaint, MutationFailed, Scored
from evolve.ordering import Order
from evolve.program import Evaluation, Files, Objective, Outcome, Program
from evolve.proposer import Proposer
from evolve.resemblance import repeated
from evolve.search import Finished, Search
from evolve.verifying import Verification


class Abandoned(Exception):
    """The run is stopping; what this step has made so far is on disk."""


@dataclass(frozen=True, slots=True)
class StageConfig:
    """How steps pass through their stages.

    Attributes:
        proposals: Replies awaited at once.
        max_attempts: Replies asked for in one step before it is given up.
        verify: Whether a program that would be the best is evaluated again, in a fresh sandbox, before it counts.
        measurements: How often it is evaluated at most, the first time among them, where the task says that scores are noisy (see
            `evolve.verifying`); otherwise it is twice.
        final_measurements: How often a finished run's best is evaluated afresh, where its scores were not always the same, to say
            what it is worth (see `evolve.closing`); 0 does not.
        patience_s: How long a run waits while no arm can be pulled, before it is given up.
        fill_in: Whether other arms are pulled while a model has all the calls in flight that it may have, rather than waiting
            for its next turn: more steps in the same time, most of them of the arms that answer soonest.
    """

    proposals: int = 4
    max_attempts: int = 3
    verify: bool = True
    measurements: int = 2
    final_measurements: int = 8
    patience_s: float = 600.0
    fill_in: bool = False

    def __post_init__(self) -> None:
        if self.proposals < 1:
            raise ValueError(f"proposals must be >= 1, got {self.proposals}")
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be >= 1, got {self.max_attempts}")
        if self.final_measurements == 1 or self.final_measurements < 0:
            raise ValueError(f"final_measurements must be 0, or at least 2 to have a spread, got {self.final_measurements}")
        if self.measurements < 2:
            raise ValueError(f"measurements must be >= 2, got {self.measurements}; verify = false evaluates once")

    @property
    def most_evaluations(self) -> int:
        """How often one program may be evaluated."""
        return self.measurements if self.verify else 1


class Child(NamedTuple):
    """A child that was screened, with what screening found and compared."""

    program: Program
    fingerprint: str
    screen: Screen
    embedding: np.ndarray | None
    judgement: Judgement | None = None


class Result(NamedTuple):
    """What a step came to.

    Attributes:
        finished: How it ended, with its program and what that scored when it made one.
        embedding: Of the program.
        unanswered: The attempt that its model did not answer, and why; written down together with the addition, for until
            then the step may be taken up and the model asked again.
    """

    finished: Finished
    embedding: np.ndarray | None = None
    unanswered: tuple[int, str] | None = None


class Stages:
    """Takes steps from plan to result, with bounded queues for generation and for evaluation."""

    def __init__(
        self,
        *,
        seed: int,
        config: StageConfig,
        search: Search,
        proposer: Proposer,
        executor: Executor,
        writer: RunWriter,
        order: Order,
        embeds: Embeds | None = None,
        judge: Judge | None = None,
        objective: Objective = Objective(),
        cost_of: Callable[[int], float] | None = None,
    ) -> None:
        """Puts the parts together.

        Args:
            seed: The run's seed, which programs are seeded with as well: all of them face the same chance.
            config: How steps pass through.
            search: What screens compare with.
            proposer: Makes children.
            executor: Scores them; already entered.
            writer: The run's archive.
            order: Which results a screen may see.
            embeds: Makes the embeddings that screening compares; None compares identity alone.
            judge: Judges borderline children; None lets them pass.
            objective: What further evaluations are compared by.
            cost_of: Returns what a step's calls cost; None asks the archive.
        """
        self._cost_of = cost_of or writer.cost_usd
        self._objective = objective
        self._seed = seed
        self._config = config
        self._search = search
        self._proposer = proposer
        self._executor = executor
        self._writer = writer
        self._order = order
        self._embeds = embeds
        self._judge = judge
        self._generating = asyncio.Semaphore(config.proposals)
        self._evaluating = Gate(lambda: executor.slots)
        self._advanced = asyncio.Event()
        self._stopping = False

    @property
    def embeds(self) -> bool:
        """Whether screens compare embeddings, and not identity alone."""
        return self._embeds is not None

    def stop(self) -> None:
        """Makes every step end at the next stage that it would begin."""
        self._stopping = True
        if self._embeds is not None:
            self._embeds.stop()
        if self._judge is not None:
            self._judge.stop()
        self.advanced()

    def advanced(self) -> None:
        """Wakes the steps that wait for a later version of the archive."""
        self._advanced.set()
        self._advanced = asyncio.Event()

    async def run(self, pending: PendingStep) -> Result:
        """Takes one step to its result.

        Raises:
            Abandoned: If the run is stopping and the step is not finished.
            ModelError: If its model did not answer; ``pending`` holds what was made before, and may be run again.
        """
        children = await self._generate(pending)
        accepted = [child for child in children if child.screen.verdict is Verdict.NEW]
        if accepted:
            return await self._evaluate(pending, accepted[0])
        return self._without_new_program(pending, children)

    async def score(self, files: Files, *, verify: bool = True) -> Evaluation:
        """Scores a starting program.

        Args:
            files: Its source.
            verify: Whether to score it again, as a program that would be the best is.

        Raises:
            Abandoned: If the run is stopping.
        """
        async with self._evaluating:
            self._proceed()
            evaluation = (await self._executor.evaluate(files, seed=self._seed)).evaluation
            return await self._verified(files, evaluation, lambda _: True) if verify else evaluation

    async def embedded(self, files: Files, step: int, attempt: int = 0) -> np.ndarray | None:
        """Embeds a program, as ``(d,)``; None where identity alone is compared.

        Raises:
            Abandoned: If the run is stopping, and its embedder was not asked any more.
        """
        if self._embeds is None:
            return None
        try:
            return await self._embeds.of(files, step, attempt)
        except Stopping:
            raise Abandoned from None

    def started(
        self, step: int, files: Files, evaluation: Evaluation, embedding: np.ndarray | None = None, *, known: bool = False
    ) -> Result:
        """Takes down a starting program and what it scored, uncommitted.

        Args:
            step: Its number.
            files: Its source.
            evaluation: What it scored.
            embedding: From `embedded`.
            known: Whether an earlier session took it down.
        """
        program = Program.make(step, files)
        mark = fingerprint(program.files)
        if not known:
            self._writer.program(program, mark, embedding)
            self._writer.evaluation(step, program.program_id, evaluation)
        finished = finished_with(None, program, mark, evaluation, self._search.traits)
        return Result(dataclasses.replace(finished, start=step), embedding)

    # Generate, edit, screen

    async def _generate(self, pending: PendingStep) -> list[Child]:
        """Asks until a child is new, or attempts run out; returns every child that was screened."""
        complaints: list[Complaint] = []
        children: list[Child] = []
        for attempt in range(self._config.max_attempts):
            self._proceed()
            try:
                child = await self._attempt(pending, attempt, complaints)
            except MutationFailed as failure:
                if attempt not in pending.edit_failures:
                    self._writer.edit_failed(pending.plan.step, attempt, str(failure))
                    self._writer.commit()
                    pending.edit_failures[attempt] = str(failure)
                complaints.append(_complaint(pending, attempt, str(failure)))
                continue
            children.append(child)
            if child.screen.verdict is Verdict.NEW:
                break
            if attempt + 1 < self._config.max_attempts and self._search.tells(pending.plan, child.screen.nearest):
                known = Scored(*self._writer.program_of(str(child.screen.nearest)))
                complaints.append(_complaint(pending, attempt, repeated(child.screen, known, child.program.files, child.judgement)))
        return children

    async def _attempt(self, pending: PendingStep, attempt: int, complaints: Sequence[Complaint]) -> Child:
        plan = pending.plan
        if attempt in pending.edit_failures:
            raise MutationFailed(pending.edit_failures[attempt])
        reply = pending.replies.get(attempt)
        if reply is None:
            # Held no longer than the reply is awaited: the next step's model is asked while this one's child is screened.
            async with self._generating:
                self._proceed()
                reply = await self._proposer.ask(plan, attempt, complaints)
            self._writer.reply(plan.step, attempt, reply)
            self._writer.commit()
            pending.replies[attempt] = reply
        program = self._proposer.child(plan, reply)
        mark = fingerprint(program.files)
        embedding = await self.embedded(program.files, plan.step, attempt)
        screen = pending.screens.get(attempt)
        if screen is None:
            screen = await self._screen(plan, attempt, mark, embedding)
            if screen.borderline:
                screen = await self._judged(pending, screen, program.files)
            self._writer.screen(screen)
            if screen.verdict is Verdict.NEW:
                self._writer.program(program, mark, embedding)
            self._writer.commit()
            pending.screens[attempt] = screen
        return Child(program, mark, screen, embedding, pending.judgements.get(attempt))

    async def _judged(self, pending: PendingStep, screen: Screen, files: Files) -> Screen:
        """Has a borderline child judged; what was found is written down together with the screen that comes of it.

        Raises:
            Abandoned: If the run is stopping, and its judge was not asked any more.
        """
        passed = dataclasses.replace(screen, borderline=False)
        if self._judge is None:
            return passed
        self._proceed()
        known, _ = self._writer.program_of(str(screen.nearest))
        try:
            judgement = await self._judge.judge(known.files, files, screen.step, screen.attempt)
        except Stopping:
            raise Abandoned from None
        self._writer.judgement(judgement)
        pending.judgements[screen.attempt] = judgement
        return dataclasses.replace(passed, verdict=Verdict.NEAR) if judgement.found is Likeness.SAME else passed

    def unanswered(self, pending: PendingStep, error: ModelError) -> Result:
        """Ends a step whose model did not answer, however often it was asked."""
        finished = Finished(pending.plan, Outcome.MODEL_FAILED, cost_usd=self._cost_of(pending.plan.step))
        return Result(finished, unanswered=(len({*pending.replies, *pending.edit_failures}), str(error)))

    async def _screen(self, plan: Plan, attempt: int, mark: str, embedding: np.ndarray | None) -> Screen:
        # Never an older one than its plan saw, which is late where no arm could be pulled when it was due.
        while (
            version := max(plan.version, self._order.screen_version(plan.step, attempt, self._search.version))
        ) > self._search.version:
            self._proceed()
            await self._advanced.wait()
        return self._search.screen(plan.step, attempt, version, mark, embedding)

    def _without_new_program(self, pending: PendingStep, children: Sequence[Child]) -> Result:
        """Ends a step none of whose attempts made a new program."""
        plan = pending.plan
        copies = [child for child in children if child.screen.verdict is Verdict.KNOWN and child.screen.nearest]
        if not copies:
            outcome = Outcome.REJECTED if children else Outcome.EDIT_FAILED
            return Result(Finished(plan, outcome, cost_usd=self._cost_of(plan.step)))
        copy = copies[-1]
        if pending.evaluation is not None:
            return self._result(plan, copy, pending.evaluation)
        known = self._writer.program_of(str(copy.screen.nearest))
        evaluation = dataclasses.replace(known[1], reused_from=known[0].program_id)
        self._writer.program(copy.program, copy.fingerprint)
        return self._record(plan, copy, evaluation)

    # Evaluate

    async def _evaluate(self, pending: PendingStep, child: Child) -> Result:
        if pending.evaluation is not None:
            return self._result(pending.plan, child, pending.evaluation)
        async with self._evaluating:
            self._proceed()
            evaluation = (await self._executor.evaluate(child.program.files, seed=self._seed)).evaluation
            # Against what the plan saw, so that it does not depend on how many workers there are.
            beats = functools.partial(self._search.beats_best_at, pending.plan.version)
            evaluation = await self._verified(child.program.files, evaluation, beats)
        return self._record(pending.plan, child, evaluation)

    async def _verified(self, files: Files, evaluation: Evaluation, beats: Callable[[float], bool]) -> Evaluation:
        """Evaluates a program that would be the best again, in sandboxes of their own, and returns what counts."""
        verification = Verification(evaluation, self._objective, most=self._config.most_evaluations, beats=beats)
        while verification.due:
            further = await self._executor.evaluate(files, seed=verification.seed(self._seed), fresh=True)
            verification.take(further.evaluation)
        return verification.counts

    def _record(self, plan: Plan, child: Child, evaluation: Evaluation) -> Result:
        self._writer.evaluation(plan.step, child.program.program_id, evaluation)
        self._writer.commit()
        return self._result(plan, child, evaluation)

    def _result(self, plan: Plan, child: Child, evaluation: Evaluation) -> Result:
        finished = finished_with(plan, child.program, child.fingerprint, evaluation, self._search.traits)
        return Result(dataclasses.replace(finished, cost_usd=self._cost_of(plan.step)), child.embedding)

    def _proceed(self) -> None:
        if self._stopping:
            raise Abandoned


def _complaint(pending: PendingStep, attempt: int, why: str) -> Complaint:
    """Says why an attempt came to nothing, with the reply that it was made from."""
    reply = pending.replies.get(attempt)
    return Complaint(why, "" if reply is None else reply.text)


def finished_with(plan: Plan | None, program: Program, mark: str, evaluation: Evaluation, traits: Collection[str]) -> Finished:
    """Reads a finished step off its program and evaluation.

    Args:
        plan: What it set out to do; None for a starting program.
        program: What it made.
        mark: The program's fingerprint.
        evaluation: Of the program.
        traits: Names of those that the population places programs by.
    """
    reused = evaluation.reused_from is not None
    wanted = traits if evaluation.ok and not reused else ()
    return Finished(
        plan=plan,
        outcome=evaluation.outcome,
        program=program.program_id,
        fingerprint=mark,
        objective=evaluation.objective,
        size=sum(len(text) for text in program.files.values()),
        reused=reused,
        traits=measure(wanted, "\n".join(mutable_text(program.files).values()), evaluation) if wanted else {},
    )
