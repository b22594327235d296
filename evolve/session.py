"""One session of a run: puts the parts together, drives the loop, and leaves the run in a state that can be taken up.

A run is created once and may be driven by several sessions, one after another; a writer lock keeps two from driving it at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from evolve.archive.novelty import SLACK
from evolve.archive.queries import summary
from evolve.archive.records import NewRun, Note, RunRecord, Start
from evolve.archive.store import Archive, RunWriter
from evolve.arms import Arms, Maker, check_models, make_mutators, open_arms
from evolve.budget import Budget, Dollars
from evolve.closing import hold_out, measure_afresh
from evolve.config import RunConfig, make_embed, make_executor, make_order
from evolve.errors import ConfigError, EvolveError, TaskError
from evolve.executors.base import Executor
from evolve.interrupts import Interrupts
from evolve.ledger import RunLedger
from evolve.llm.calling import Ledger
from evolve.loop import Loop, Watcher
from evolve.mutation import Mutator, Scored
from evolve.noting import ModelAuthor, NoteTaker
from evolve.opening import Opening
from evolve.ordering import Order
from evolve.outages import Outages
from evolve.program import Files, Reply, Task
from evolve.proposer import Proposer
from evolve.provenance import commit_of, repeat_command, versions
from evolve.search import Conditions, Search
from evolve.settings import build, plain
from evolve.stages import Stages
from evolve.strategies import make_search
from evolve.strength import strongest
from evolve.tasks.catalog import locate


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
    """

    executor: Executor | None = None
    order: Order | None = None
    arms: Mapping[str, Mutator] | None = None
    maker: Maker | None = None
    replies: Mapping[tuple[int, int], Reply] | None = None
    conditions: Mapping[int, Conditions] | None = None
    costs: Mapping[int, float] | None = None
    notes: Sequence[Note] | None = None


def check(task: Task, config: RunConfig) -> Maker:
    """Refuses a configuration whose parts cannot be made, before anything is on disk.

    Returns:
        What the arms of language models are made by, for `create` and `drive`.

    Raises:
        ConfigError: If an arm, the strategy or the executor is unknown, a key is missing, or a price is unknown under a dollar
            budget.
        TaskError: If a plug-in cannot be loaded.
    """
    make_search(task, config, list(make_mutators(task, config)))
    maker = check_models(task, config)
    make_executor(task, config)
    return maker


def create(
    archive: Archive,
    task: Task,
    config: RunConfig,
    name: str,
    maker: Maker | None = None,
    *,
    starts: Sequence[Start] = (),
    rescores: int | None = None,
    command: str | None = None,
) -> int:
    """Writes down a new run and returns its number.

    Args:
        archive: Where to.
        task: What is being solved.
        config: The run's configuration.
        name: What to call it; made from the task's name when empty.
        maker: What `check` returned; None makes one.
        starts: What it starts from; none is the task's initial program.
        rescores: Number of the run whose programs it scores again, if it does.
        command: A command line that repeats it; None makes that of `evolve run`.

    Raises:
        ConfigError: If a price table or a template is broken.
    """
    new = NewRun(
        task=task.name,
        task_origin=task.origin,
        task_folder=str(task.folder or ""),
        evaluator_sha256=task.evaluator_sha256,
        direction=task.objective.direction,
        metric=task.objective.metric,
        seed=config.seed,
        config=plain(config),
        versions={**versions(), **(maker or Maker(task, config)).prompt_versions()},
        commit=commit_of(task.folder),
        command=repeat_command(task, config, [start.origin for start in starts]) if command is None else command,
        name=name,
        rescores=rescores,
    )
    return archive.create_run(new, starts)


def recorded(archive: Archive, number: int, task: Task | None, changes: Mapping[str, Any]) -> tuple[Task, RunConfig]:
    """Finds the task and the configuration of a recorded run again.

    Args:
        archive: Where the run is.
        number: Which run.
        task: The task of a run whose task was given inline; otherwise None.
        changes: Settings that may differ from session to session; None values keep the recorded ones, but for the time limit,
            which belongs to a session: a run that it stopped is resumed to go on.

    Raises:
        ConfigError: If the task was inline and is not given.
        TaskError: If the task's evaluator has changed: old and new scores would not compare.
    """
    record = archive.run_record(number)
    kept = {key: value for key, value in changes.items() if value is not None or key == "max_seconds"}
    session = archive.session(number)
    if session is not None and "budget_usd" not in kept:
        kept["budget_usd"] = session.budget_usd
    config = build(RunConfig, {**record.config, **kept}, "run")
    task = task_of(record, task)
    if task.evaluator_sha256 != record.evaluator_sha256:
        raise TaskError(
            f"the evaluator of task {task.name} has changed since run {record.name} began "
            f"({record.evaluator_sha256[:12]} then, {task.evaluator_sha256[:12]} now): old and new scores would not compare; "
            "restore it, or start a new run"
        )
    starts = archive.starts(number)
    # The program may have been edited since; the run goes on from the one that it began with.
    files = starts[0].files if starts else record.initial_files
    return (begun_with(task, files) if files else task), config


def task_of(record: RunRecord, task: Task | None) -> Task:
    """Finds the task of a recorded run again, whatever has become of its evaluator.

    Args:
        record: The run's.
        task: The task of a run whose task was given inline; otherwise None.

    Raises:
        ConfigError: If the task was inline and is not given.
        TaskError: If it cannot be loaded.
    """
    if task is not None:
        return task
    if record.task_origin == "inline":
        raise ConfigError(
            f"run {record.name} was given its task {record.task!r} inline; take it up from Python with "
            "evolve.resume(..., task=task)"
        )
    return locate(record.task_folder, record.task)


def begun_with(task: Task, files: Files) -> Task:
    """Returns a task whose program is the one that a run began with."""
    # In the task's order: the first file holds the entry points.
    names = [name for name in task.files if name in files] + [name for name in files if name not in task.files]
    return dataclasses.replace(task, files={name: files[name] for name in names})


async def drive(
    archive: Archive,
    number: int,
    task: Task,
    config: RunConfig,
    *,
    watcher: Watcher | None = None,
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
                parts=parts,
                interrupts=interrupts or Interrupts(),
            )
        except EvolveError as error:
            writer.status("failed", asked_steps=config.steps, reason=str(error), seconds=budget.seconds)
            raise
        except Exception as error:
            # A defect, of this package or of a plug-in: the run's status says so, and the traceback goes on up.
            reason = f"{type(error).__name__}: {error}"
            writer.status("failed", asked_steps=config.steps, reason=reason, seconds=budget.seconds)
            raise
        except BaseException:
            writer.status("stopped", asked_steps=config.steps, reason="interrupted", seconds=budget.seconds)
            raise
        ending = Ending("stopped" if loop.stop_reason else "finished", loop.stop_reason)
        writer.status(ending.status, asked_steps=config.steps, reason=ending.reason, seconds=budget.seconds)
    return ending


async def _run_loop(
    archive: Archive,
    number: int,
    task: Task,
    config: RunConfig,
    *,
    budget: Budget,
    writer: RunWriter,
    watcher: Watcher | None,
    parts: Parts,
    interrupts: Interrupts,
) -> Loop:
    settled, pending = archive.history(number)
    dollars, ledger = Dollars(config.budget_usd, archive.spent_usd(number)), RunLedger(writer, pending)
    maker = None if parts.arms is not None else parts.maker or Maker(task, config)
    async with (
        _arms(archive, config, parts, maker, dollars=dollars, ledger=ledger) as arms,
        _notes(archive, config, parts, maker, dollars=dollars, ledger=ledger, writer=writer) as notes,
        parts.executor or make_executor(task, config) as executor,
    ):
        search = make_search(task, config, list(arms.mutators))
        order = parts.order or make_order(config)
        proposer = _proposer(task, config, parts, search=search, arms=arms, notes=notes, writer=writer)
        stages = _stages(task, config, parts, search=search, order=order, proposer=proposer, executor=executor, writer=writer)
        starts, scored = archive.starts(number), archive.scored_starts(number)
        # Rescoring chooses nothing, so no lucky score can mislead it.
        verify = archive.run_record(number).rescores is None
        opening = Opening(task, starts, stages, writer, scored, verify=verify)
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
    return Proposer(
        task,
        config.seed,
        arms.mutators,
        writer,
        best_at=lambda version: best.program if (best := search.best_at(version)) else None,
        advice=writer.advice,
        notes_at=notes.text_at,
        recorded=parts.replies,
    )


def _stages(
    task: Task,
    config: RunConfig,
    parts: Parts,
    *,
    search: Search,
    order: Order,
    proposer: Proposer,
    executor: Executor,
    writer: RunWriter,
) -> Stages:
    return Stages(
        seed=config.seed,
        config=config.stages,
        search=search,
        proposer=proposer,
        executor=executor,
        writer=writer,
        order=order,
        embed=make_embed(config, search),
        objective=task.objective,
        cost_of=None if parts.costs is None else lambda step: (parts.costs or {}).get(step, 0.0),
    )


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
    parts: Parts,
    maker: Maker | None,
    *,
    dollars: Dollars,
    ledger: Ledger,
    writer: RunWriter,
) -> AsyncIterator[NoteTaker]:
    """Makes what makes notes on the run, unless they are given."""
    if maker is None or parts.notes is not None:
        yield NoteTaker.given(parts.notes or ())
        return

    def look_up(program_id: str) -> Scored:
        return Scored(*writer.program_of(program_id))

    author = None
    if maker.note_spec is not None:
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
