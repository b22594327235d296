"""The loop: plan → generate → edit → screen → evaluate → add.

Plans and additions are made here, one at a time; between them every step is a task of its own (`evolve.stages`). What is in
memory is a fold over what was committed (`evolve.search`): a killed run is taken up by folding its archive again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np

from evolve.archive.records import Addition, PendingStep, Plan, Settled
from evolve.archive.store import RunWriter
from evolve.budget import Budget
from evolve.errors import ArchiveError, BudgetExceeded, Exhausted, ModelError, PutOff
from evolve.noting import NoteTaker
from evolve.opening import Opening
from evolve.ordering import Order
from evolve.outages import Outages, Weather
from evolve.search import Conditions, Finished, Search
from evolve.stages import Abandoned, Result, Stages

logger = logging.getLogger(__name__)

#: How often the writer lock says that its holder lives; other machines take a lock over after 60 s of silence.
HEARTBEAT_S = 10.0
#: How often the arms are looked at while none can be pulled, and results that wait for their turn.
_POLL_S = 0.25
#: How often it is looked whether more steps may be under way: a cluster grows while every evaluation takes its time.
_GROWTH_S = 2.0


class Watcher(Protocol):
    """Is told what happens, as it happens; must return quickly and never raise."""

    def settled(self, addition: Addition, finished: Finished, search: Search) -> None:
        """Called after each addition is on disk, those of starting programs first."""
        ...


class Loop:
    """Drives one run until its budget is spent or it is stopped."""

    def __init__(
        self,
        *,
        opening: Opening,
        search: Search,
        stages: Stages,
        writer: RunWriter,
        order: Order,
        budget: Budget,
        watcher: Watcher | None = None,
        outages: Outages | None = None,
        conditions: Callable[[int, Callable[[], Mapping[str, int]]], Conditions] = lambda *_: Conditions(),
        notes: NoteTaker | None = None,
    ) -> None:
        """Puts the parts together.

        Args:
            opening: Scores the starting programs; shares stages and writer.
            search: The state, empty; `restore` folds a recorded run into it.
            stages: Takes steps from plan to result; shares search, writer and order.
            writer: The run's archive.
            order: Which results a step may see.
            budget: What may be spent.
            watcher: Told of every addition.
            outages: Which arms can be pulled, and what waits for those that cannot; None is all of them, always.
            conditions: Returns what the plan of a step reckons with: given its number, and what counts the steps that wait for
                each arm's reply.
            notes: Makes notes on the run; None makes none.
        """
        self._notes = notes or NoteTaker.given()
        self._outages = outages or Outages()
        self._conditions = conditions
        self._broken: ModelError | None = None
        self._opening = opening
        self._search = search
        self._stages = stages
        self._writer = writer
        self._order = order
        self._budget = budget
        self._watcher = watcher
        self._open: list[PendingStep] = []
        self._running: dict[asyncio.Task[Result], PendingStep] = {}
        self._results: dict[int, Result] = {}
        self._planned = 0
        self._planned_at = 0
        self.stop_reason = ""

    def restore(self, settled: Iterable[Settled], pending: Iterable[PendingStep], embeddings: Mapping[str, np.ndarray]) -> None:
        """Takes up a recorded run: folds its additions and makes the plans that were due at each of them and are missing.

        Args:
            settled: The additions, in order.
            pending: Steps planned and not added.
            embeddings: Of the programs, by identifier; empty when screening compares identity alone.
        """
        history = list(settled)
        self._open = list(pending)
        plans = [item.plan for item in history if item.plan is not None] + [item.plan for item in self._open]
        recorded = {plan.step: plan for plan in plans}
        # A later step never saw less than an earlier one: replays go by that.
        self._planned_at = max((plan.version for plan in plans), default=0)
        if history:
            self._search.begin(1 - history[0].addition.version)
        for item in history:
            finished = _recorded(item)
            self._search.settle(finished, embeddings.get(item.addition.program or ""))
            self._notes.folded(finished, item.addition)
            if self._search.version >= 0:
                self._plan_due(recorded)
        self._notes.restored()
        self._writer.commit()

    def stop(self, reason: str) -> None:
        """Begins nothing more; replies that were asked for are recorded, evaluations that run are finished."""
        self.stop_reason = self.stop_reason or reason
        self._outages.roster.stop()
        self._stages.stop()
        self._notes.stop()

    async def run(self) -> None:
        """Runs until the budget is spent or `stop` is called.

        Raises:
            TaskError: If no starting program scores.
            ModelError: If no arm can be pulled any more; the steps that waited for one stay open.
        """
        beating = asyncio.create_task(self._beat())
        try:
            if self._search.version < 0:
                await self._begin()
            self._start_open()
            while self._running or self._waits():
                await self._advance()
            await self._notes.finish()
            if self._search.version < self._budget.steps and self._budget.left_s == 0.0:
                self.stop("max_seconds is up")
        finally:
            beating.cancel()
            for task in self._running:
                task.cancel()
            await asyncio.gather(beating, *self._running, return_exceptions=True)
            self._writer.commit()
        if self._broken is not None:
            raise self._broken

    async def _begin(self) -> None:
        """Scores the starting programs and adds them; all or none, for what is planned first sees them all."""
        try:
            results = await self._opening.results()
        except Abandoned:
            return
        self._search.begin(len(results))
        self._add(*results)

    def _waits(self) -> bool:
        """Whether work is left that only waits for an arm."""
        if self.stop_reason:
            return False
        return self._outages.n_held > 0 or (self._budget.allows(self._planned + 1) and self._outages.roster.outage() is not None)

    async def _advance(self) -> None:
        """Waits for a step to finish, for time to be up, or for an arm to come back, and adds what may be added."""
        watching = self._outages.paused or self._waits()
        done = await self._finished_steps(watching=watching)
        if self._budget.left_s == 0.0:
            self.stop("max_seconds is up")
        for task in done:
            pending = self._running.pop(task)
            try:
                self._results[pending.plan.step] = task.result()
            except Abandoned:
                logger.debug("step %d: abandoned, it can be resumed", pending.plan.step)
            except ModelError as error:
                self._unanswered(pending, error)
        # A run that is stopping neither goes on with what it held nor gives itself up.
        if not self.stop_reason and (watching or self._waits()):
            self._face_outage()
        elif not done:
            self._plan_more()
        while (next_step := self._order.next_addition(self._search.version, self._results)) is not None:
            self._add(self._results.pop(next_step))

    async def _finished_steps(self, *, watching: bool) -> set[asyncio.Task[Result]]:
        """Waits until a step has finished, or until there is something else to look at."""
        # A result may be held back by a screen of another step (`Recorded`), which then waits itself and wakes nobody.
        polled = _POLL_S if watching or self._results else _GROWTH_S
        waits = [seconds for seconds in (self._budget.left_s, polled) if seconds is not None]
        timeout_s = None if self.stop_reason else min(waits)
        if not self._running:
            await asyncio.sleep(timeout_s or 0.0)
            return set()
        done, _ = await asyncio.wait(self._running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return done

    def _unanswered(self, pending: PendingStep, error: ModelError) -> None:
        """Decides what becomes of a step whose model did not answer: it ends, or it stays open for a later try.

        A step stays open while no arm can be pulled, and when the run stops, be it for want of money.
        """
        if self.stop_reason:
            return
        if isinstance(error, BudgetExceeded) and not self._outages.roster.put_aside(pending.plan.arm):
            logger.warning("step %d: %s: %s", pending.plan.step, pending.plan.arm, error)
            self.stop(f"budget_usd is spent: {error}")
        elif isinstance(error, Exhausted) or not (isinstance(error, PutOff) or self._outages.roster.outage() is not None):
            self._give_up(pending, error)
        else:
            self._outages.hold(pending, error)

    def _give_up(self, pending: PendingStep, error: ModelError) -> None:
        step = pending.plan.step
        logger.warning("step %d: %s: %s", step, pending.plan.arm, error)
        self._results[step] = self._stages.unanswered(pending, error)

    def _face_outage(self) -> None:
        """Goes on with what waited when an arm can be pulled again; gives the run up when none will be."""
        weather = self._outages.look()
        if weather is Weather.HOPELESS:
            reason = f"no arm can be pulled: {self._outages.reason}. Nothing is lost: mend it, then `evolve resume`"
            self._broken = ModelError(reason)
            self.stop("no arm can be pulled")
        elif weather is Weather.FAIR:
            self._open += self._outages.back()
            for held in self._outages.given_up():
                self._give_up(*held)
            self._plan_due({})
            self._writer.commit()
            self._start_open()

    def _plan_more(self) -> None:
        """Plans what has become due although nothing was added."""
        self._plan_due({})
        if self._open:
            self._writer.commit()
            self._start_open()

    def _add(self, *results: Result) -> None:
        """Adds results, together with the plans that they make due, in one transaction."""
        additions = [self._settle(result) for result in results]
        self._plan_due({})
        self._writer.commit()
        self._stages.advanced()
        self._start_open()
        for addition, result in zip(additions, results, strict=True):
            self._tell(addition, result.finished)

    def _settle(self, result: Result) -> Addition:
        finished = result.finished
        self._outages.ended(finished.step)
        addition = self._search.settle(finished, result.embedding)
        if result.unanswered is not None:
            self._writer.edit_failed(finished.step, *result.unanswered)
        self._writer.addition(addition)
        self._notes.settled(finished, addition)
        return addition

    def _tell(self, addition: Addition, finished: Finished) -> None:
        best = self._search.best
        logger.info(
            "step %d: %s, objective %s (best %s), version %d",
            finished.step, finished.outcome, finished.objective, best.objective if best else None, addition.version,
        )  # fmt: skip
        if self._watcher is not None:
            self._watcher.settled(addition, finished, self._search)

    def _plan_due(self, recorded: Mapping[int, Plan]) -> None:
        """Plans every step that order and budget allow at this version.

        Args:
            recorded: Plans that an earlier session made, by step.
        """
        while not self.stop_reason:
            step = self._planned + 1
            if step in recorded:
                self._search.planned(recorded[step])
            else:
                version = self._search.version
                due = version >= self._planned_at and self._order.may_plan(step, version, self._outages.n_held)
                if not (due and self._budget.allows(step)) or self._must_wait():
                    return
                plan = self._search.plan(step, self._conditions(step, self._asked))
                self._writer.plan(plan)
                self._open.append(PendingStep(plan))
            self._planned = step

    def _must_wait(self) -> bool:
        """Whether no step is to be planned: no arm can be pulled, or the steps there are find out whether one can be again."""
        if self._outages.roster.outage() is not None:
            return True
        return self._outages.paused and bool(self._open or self._running)

    def _asked(self) -> Mapping[str, int]:
        """Counts the steps that wait for each arm's reply."""
        return Counter(pending.plan.arm for pending in (*self._open, *self._running.values()) if pending.awaits_reply)

    def _start_open(self) -> None:
        """Starts the steps that have a plan and no task."""
        for pending in sorted(self._open, key=lambda pending: pending.plan.step):
            task = asyncio.create_task(self._stages.run(pending), name=f"step {pending.plan.step}")
            self._running[task] = pending
        self._open.clear()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                self._writer.heartbeat(self._budget.seconds)
            except ArchiveError as error:
                # Whoever writes next says so again, and ends the run if it must; a disk that was full for a moment need not.
                logger.warning("the archive was not told that the run lives: %s", error)


def _recorded(item: Settled) -> Finished:
    """Reads a finished step back as the loop made it."""
    return Finished(
        plan=item.plan,
        outcome=item.addition.outcome,
        program=item.addition.program,
        fingerprint=item.fingerprint,
        objective=item.objective,
        size=item.size,
        reused=item.reused,
        cost_usd=item.cost_usd,
        traits=item.addition.traits,
        start=item.addition.step,
    )
