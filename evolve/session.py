"""One session of a run: puts the parts together, drives the loop, and leaves the run in a state that can be taken up.

A run is created once and may be driven by several sessions, one after another; a writer lock keeps two from driving it at once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evolve.archive.novelty import SLACK
from evolve.archive.records import Note
from evolve.archive.store import Archive, RunWriter
from evolve.archive.summaries import summary
from evolve.arms import Arms, open_arms
from evolve.budget import Budget, Dollars
from evolve.closing import hold_out, measure_afresh
from evolve.config import RunConfig, make_embed, make_executor, make_order
from evolve.embedding import ByModel, Embeds, OnTheSpot
from evolve.errors import ArchiveError, EvolveError
from evolve.executors.base import Executor
from evolve.interrupts import Interrupts
from evolve.judging import Judge, ModelJudge
from evolve.ledger import RunLedger, SideLedger
from evolve.limiting import with_found_limit
from evolve.llm.calling import Ledger
from evolve.loop import Loop, Watcher
from evolve.maker import Maker
from evolve.mutation import Mutator, Scored
from evolve.noting import ModelAuthor, NoteTaker
from evolve.opening import Opening, StartsWatcher
from evolve.ordering import Order
from evolve.outages import Outages
from evolve.program import Reply, Task
from evolve.proposer import Proposer
from evolve.search import Conditions, Search
from evolve.stages import Stages
from evolve.strategies import make_search
from evolve.strength import strongest
from evolve.vectors import ArchiveShelf, Vectors

logger = logging.getLogger(__name__)


class Ending(NamedTuple):
    """How a session ended: the run's status, and why it stopped before its steps were done."""

    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts that a session takes as they are, in place of making them by the configuration.

    Attributes:
        executor: Where evaluations run.
        order: Which results a step may see.
        arms: By name.
        maker: What the arms of language models are made by.
        replies: What was answered, by step and attempt.
        conditions: What plans reckoned with, by step.
        costs: Dollars, by step.
        notes: On the run; None makes them.
        vectors: Embeddings by a model; None asks the one that the configuration names, or nobody where ``arms`` are given.
        unembedded: Steps and attempts whose programs have none.
        judge: Of borderline children; None asks the one that the configuration names, or nobody where ``arms`` are given.
    """

    executor: Executor | None = None
    order: Order | None = None
    arms: Mapping[str, Mutator] | None = None
    maker: Maker | None = None
    replies: Mapping[tuple[int, int], Reply] | None = None
    conditions: Mapping[int, Conditions] | None = None
    costs: Mapping[int, float] | None = None
    notes: Sequence[Note] | None = None
    vectors: Vectors | None = None
    unembedded: Collection[tuple[int, int]] = ()
    judge: Judge | None = None


async def drive(
    archive: Archive,
    number: int,
    task: Task,
    config: RunConfig,
    *,
    watcher: Watcher | None = None,
    starts_watcher: StartsWatcher | None = None,
    parts: Parts = Parts(),
    interrupts: Interrupts | None = None,
) -> Ending:
    """Drives a run until its budget is spent or it is told to stop.

    Args:
        archive: Where the run is.
        number: Which run.
        task: What is being solved.
        config: The run's configuration.
        watcher: Told of every addition.
        starts_watcher: Told of every starting program as it is scored.
        parts: Parts that are there already.
        interrupts: What runs that go on at the same time share; None stops this one alone.

    Raises:
        EvolveError: If it cannot go on; the run's status says why.
    """
    spent_s = float(summary(archive, number)["seconds"])
    budget = Budget(config.steps, config.max_seconds, spent_s=spent_s)
    with archive.writer(number) as writer:
        writer.status("running", asked_steps=config.steps, seconds=spent_s)
        writer.allow(config.budget_usd)
        try:
            loop = await _run_loop(
                archive,
                number,
                task,
                config,
                budget=budget,
                writer=writer,
                watcher=watcher,
                starts_watcher=starts_watcher,
                parts=parts,
                interrupts=interrupts or Interrupts(),
            )
        except EvolveError as error:
            _tell_end(writer, "failed", config.steps, str(error), budget.seconds)
            raise
        except Exception as error:
            # A defect, of this package or of a plug-in: the run's status says so, and the traceback goes on up.
            _tell_end(writer, "failed", config.steps, f"{type(error).__name__}: {error}", budget.seconds)
            raise
        except BaseException:
            _tell_end(writer, "stopped", config.steps, "interrupted", budget.seconds)
            raise
        ending = Ending("stopped" if loop.stop_reason else "finished", loop.stop_reason)
        writer.status(ending.status, asked_steps=config.steps, reason=ending.reason, seconds=budget.seconds)
    return ending


def _tell_end(writer: RunWriter, status: str, asked_steps: int, reason: str, seconds: float) -> None:
    """Writes down why a session ends early; an archive that cannot take that does not hide the reason itself."""
    try:
        writer.status(status, asked_steps=asked_steps, reason=reason, seconds=seconds)
    except ArchiveError as error:
        logger.warning("the archive was not told how the session ended: %s", error)


async def _run_loop(
    archive: Archive,
    number: int,
    task: Task,
    config: RunConfig,
    *,
    budget: Budget,
    writer: RunWriter,
    watcher: Watcher | None,
    starts_watcher: StartsWatcher | None,
    parts: Parts,
    interrupts: Interrupts,
) -> Loop:
    settled, pending = archive.history(number)
    dollars, ledger = Dollars(config.budget_usd, archive.spent_usd(number)), RunLedger(writer, pending)
    maker = None if parts.arms is not None else parts.maker or Maker(task, config)
    async with contextlib.AsyncExitStack() as stack:
        arms = await stack.enter_async_context(_arms(archive, config, parts, maker, dollars=dollars, ledger=ledger))
        vectors = await stack.enter_async_context(_vectors(archive, parts, maker, dollars=dollars, writer=writer))
        if vectors is not None and parts.vectors is None:
            config = await with_found_limit(archive, task, config, vectors, writer)
        search = make_search(task, config, list(arms.mutators))
        # Where no prompt holds notes, none are made.
        known = parts.notes if search.hindsight.run else ()
        notes = await stack.enter_async_context(
            _notes(archive, config, known, maker, dollars=dollars, ledger=ledger, writer=writer)
        )
        judge = await stack.enter_async_context(_judge(archive, config, parts, maker, dollars=dollars, writer=writer))
        executor = await stack.enter_async_context(parts.executor or make_executor(task, config))
        order = parts.order or make_order(config, executor)
        proposer = _proposer(task, config, parts, search=search, arms=arms, notes=notes, writer=writer)
        failed = parts.unembedded or archive.unembedded(number)
        stages = Stages(
            seed=config.seed,
            config=config.stages,
            search=search,
            proposer=proposer,
            executor=executor,
            writer=writer,
            order=order,
            embeds=_embeds(config, search, vectors, writer, failed),
            judge=judge,
            objective=task.objective,
            cost_of=None if parts.costs is None else lambda step: (parts.costs or {}).get(step, 0.0),
        )
        starts, scored = archive.starts(number), archive.scored_starts(number)
        # Rescoring chooses nothing, so no lucky score can mislead it.
        verify = archive.run_record(number).rescores is None
        opening = Opening(task, starts, stages, writer, scored, verify=verify, watcher=starts_watcher)
        loop = Loop(
            opening=opening,
            search=search,
            stages=stages,
            writer=writer,
            order=order,
            budget=budget,
            watcher=watcher,
            outages=Outages(arms, patience_s=config.stages.patience_s, give_up_s=config.calls.give_up_s),
            conditions=_conditions(config, arms, dollars, parts.conditions),
            notes=notes,
        )
        embeddings: Mapping[str, np.ndarray] = {}
        if stages.embeds:
            # More than screens compare: those of open steps are among the latest, and older versions are screened at.
            latest = None if search.embeds else config.novelty.memory + SLACK + len(pending)
            embeddings = archive.embeddings(number, latest=latest)
        loop.restore(settled, pending, embeddings)
        with interrupts.stopping(loop):
            await loop.run()
        if not loop.stop_reason:
            await hold_out(archive, executor, writer, config.seed)
            await measure_afresh(archive, executor, writer, config, task.objective)
    return loop


def _proposer(
    task: Task, config: RunConfig, parts: Parts, *, search: Search, arms: Arms, notes: NoteTaker, writer: RunWriter
) -> Proposer:
    def best_at(version: int) -> str | None:
        best = search.best_at(version) if search.hindsight.run else None
        return None if best is None else best.program

    return Proposer(
        task,
        config.seed,
        arms.mutators,
        writer,
        best_at=best_at,
        advice=writer.advice,
        notes_at=notes.text_at,
        recorded=parts.replies,
    )


def _embeds(
    config: RunConfig, search: Search, vectors: Vectors | None, writer: RunWriter, failed: Collection[tuple[int, int]]
) -> Embeds | None:
    """Makes what embeds programs; None where nothing but identity is compared, or nobody is there to be asked."""
    if config.novelty.hashes:
        embed = make_embed(config, search)
        return None if embed is None else OnTheSpot(embed)
    if vectors is None or not (config.novelty.compares or search.embeds):
        return None
    return ByModel(vectors, writer, failed)


@contextlib.asynccontextmanager
async def _vectors(
    archive: Archive, parts: Parts, maker: Maker | None, *, dollars: Dollars, writer: RunWriter
) -> AsyncIterator[Vectors | None]:
    """Makes what embeds programs by a model, unless it is given; None where no model does."""
    if maker is None or parts.vectors is not None:
        yield parts.vectors
        return
    ledger = SideLedger.of_embeddings(writer, archive.embedding_calls(writer.run))
    vectors = maker.vectors(dollars, ledger, ArchiveShelf(archive, writer))
    try:
        yield vectors
    finally:
        if vectors is not None:
            await vectors.close()


@contextlib.asynccontextmanager
async def _judge(
    archive: Archive, config: RunConfig, parts: Parts, maker: Maker | None, *, dollars: Dollars, writer: RunWriter
) -> AsyncIterator[Judge | None]:
    """Makes what judges borderline children, unless it is given; None where nobody does."""
    if maker is None or parts.judge is not None or maker.judge_spec is None:
        yield parts.judge
        return
    if not config.novelty.compares:
        logger.warning("novelty.judge is asked nothing: there is no limit, and identity alone is compared")
        yield None
        return
    ledger = SideLedger.of_judgements(writer, archive.judge_calls(writer.run))
    # A run goes on without: nobody waits while the model is down.
    caller = maker.caller(maker.judge_spec, dollars, ledger, waits=False)
    try:
        yield ModelJudge(config.seed, caller=caller, prompts=maker.prompts(), asking=maker.asking(maker.judge_spec))
    finally:
        await caller.close()


@contextlib.asynccontextmanager
async def _arms(
    archive: Archive, config: RunConfig, parts: Parts, maker: Maker | None, *, dollars: Dollars, ledger: Ledger
) -> AsyncIterator[Arms]:
    """Makes the arms that the configuration names, unless others are given."""
    if maker is None:
        yield Arms(parts.arms or {})
        return
    answered = archive.answered if config.cache else None
    hidden = [] if archive.file is None else [archive.file]
    async with open_arms(maker, dollars=dollars, ledger=ledger, answered=answered, hidden=hidden) as arms:
        yield arms


@contextlib.asynccontextmanager
async def _notes(
    archive: Archive,
    config: RunConfig,
    given: Sequence[Note] | None,
    maker: Maker | None,
    *,
    dollars: Dollars,
    ledger: Ledger,
    writer: RunWriter,
) -> AsyncIterator[NoteTaker]:
    """Makes what makes notes on the run, unless they are given; without a maker of models' arms, what counts."""
    if given is not None:
        yield NoteTaker.given(given)
        return

    def look_up(program_id: str) -> Scored:
        return Scored(*writer.program_of(program_id))

    author = None
    if maker is not None and maker.note_spec is not None:
        caller = maker.caller(maker.note_spec, dollars, ledger, waits=False)
        asking = maker.asking(maker.note_spec)
        author = ModelAuthor(maker.task, config.seed, caller=caller, prompts=maker.prompts(), asking=asking, look_up=look_up)
    known = archive.notes(writer.run)
    notes = NoteTaker(config.insight, look_up, writer, steps=config.steps, known=known, author=author)
    try:
        yield notes
    finally:
        await notes.close()


def _conditions(
    config: RunConfig, arms: Arms, dollars: Dollars, recorded: Mapping[int, Conditions] | None
) -> Callable[[int, Callable[[], Mapping[str, int]]], Conditions]:
    """Says what the plan of a step reckons with: what is the case now, or what a recorded plan reckoned with."""
    # In strict order no plan may depend on which model happens to be quick.
    fill_in = config.stages.fill_in and not config.strict

    def now(step: int, asked: Callable[[], Mapping[str, int]]) -> Conditions:
        left = dollars.left
        unavailable = arms.unavailable(asked()) if fill_in else arms.unavailable()
        per_step = None if left is None else left / max(1, config.steps - step + 1)
        return Conditions(unavailable, per_step, strongest(arms.ranks, unavailable))

    if recorded is None:
        return now
    return lambda step, _: recorded.get(step, Conditions())
