"""Which runs make a comparison, and driving those of them that are missing.

Every strategy runs with every seed, so that runs with one seed are a pair: they face the same chance. Runs live in the archive
by the names of task, strategy and seed. A finished one is not run again and an interrupted one is taken up, so that repeating
a comparison goes on where it was; a run of that name that was made otherwise is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from evolve.archive.records import RunRecord, Session
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.comparing.curves import Axis
from evolve.comparing.variants import Variant
from evolve.config import RunConfig, with_limit
from evolve.errors import ArchiveError, ConfigError, TaskError
from evolve.interrupts import Interrupts
from evolve.loop import Watcher
from evolve.program import Task
from evolve.recording import check, create
from evolve.session import Parts, drive
from evolve.settings import build, plain

#: Settings that do not change what a run finds by a given budget.
_FREE = frozenset(("workers", "executor", "isolation", "steps", "max_seconds", "budget_usd"))
#: Bandits reckon with dollars left per step left: then these two decide what every step does.
_BINDING_WITH_DOLLARS = ("steps", "budget_usd")
#: Differences that a message names.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class StudyRun:
    """One run of a comparison.

    Attributes:
        strategy: The variant's label.
        seed: Of everything random in it.
        name: What the archive calls it.
        config: Its resolved configuration.
    """

    strategy: str
    seed: int
    name: str
    config: RunConfig


@dataclass(frozen=True, slots=True)
class Study:
    """The runs of a comparison.

    Attributes:
        task: What is being solved.
        strategies: Labels, in the order given.
        seeds: In the order given.
        axis: What the budget is counted in.
        budget: How much of it each run has.
        runs: Seed by seed, so that an unfinished study is balanced.
    """

    task: Task
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    axis: Axis
    budget: float
    runs: tuple[StudyRun, ...]


class Difference(NamedTuple):
    """A setting that two configurations have different values of."""

    key: str
    old: Any  # Any: JSON values
    new: Any


#: Told of a run that begins or goes on: lends what is told of its steps, and is left when they end.
Watch = Callable[[StudyRun], AbstractContextManager[Watcher]]


def make_study(
    task: Task,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    resolve: Callable[[Variant, int], RunConfig],
    *,
    axis: Axis = Axis.STEPS,
    name: str = "",
) -> Study:
    """Says which runs make a comparison.

    Args:
        task: What is being solved.
        variants: What is compared.
        seeds: Each is a pair, or more, of runs.
        resolve: Resolves the configuration of a variant with a seed.
        axis: What the budget is counted in.
        name: What the runs' names begin with; the task's name when empty.

    Raises:
        ConfigError: If there is no seed or one twice, or a configuration is refused.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds must be distinct and at least one, got {list(seeds)}")
    runs = tuple(
        StudyRun(variant.label, seed, f"{name or task.name}/{variant.label}/{seed}", _resolved(task, resolve, variant, seed))
        for seed in seeds
        for variant in variants
    )
    config = runs[0].config
    budget = {Axis.STEPS: float(config.steps), Axis.USD: config.budget_usd, Axis.SECONDS: config.max_seconds}[axis]
    if budget is None:
        raise ConfigError(f"a comparison along {axis} needs a budget of {axis}")
    return Study(task, tuple(variant.label for variant in variants), tuple(seeds), axis, budget, runs)


def _resolved(task: Task, resolve: Callable[[Variant, int], RunConfig], variant: Variant, seed: int) -> RunConfig:
    try:
        return with_limit(task, resolve(variant, seed))
    except ConfigError as error:
        if not variant.settings:
            raise
        raise ConfigError(f"strategy {variant.label}: {error}") from error


def check_study(study: Study) -> None:
    """Refuses configurations whose parts cannot be made, before anything is on disk.

    Raises:
        ConfigError, TaskError: As `evolve.session.check`.
    """
    for run in study.runs[: len(study.strategies)]:
        check(study.task, run.config)


async def run_study(archive: Archive, study: Study, watch: Watch, *, at_once: int = 1) -> bool:
    """Drives the runs of a study that are not finished yet.

    A run that cannot go on stops the others cleanly; all of them can be taken up.

    Args:
        archive: Where the runs are, or will be.
        study: From `make_study`.
        watch: Told of every run.
        at_once: Runs at the same time.

    Returns:
        Whether all are finished; otherwise they were interrupted.

    Raises:
        ConfigError, TaskError: If the archive has a run of the same name that was made otherwise; nothing is run then.
        EvolveError: If a run cannot go on.
    """
    waiting = iter(_unfinished(archive, study))
    interrupts = Interrupts()
    failures: list[BaseException] = []

    async def work() -> None:
        for run in waiting:
            try:
                await _drive(archive, study.task, run, watch, interrupts)
            except BaseException as error:
                failures.append(error)
                interrupts.stop()
                raise
            if interrupts.caught:
                return

    await asyncio.gather(*(work() for _ in range(at_once)), return_exceptions=True)
    if failures:
        raise failures[0]
    return not interrupts.caught


async def _drive(archive: Archive, task: Task, run: StudyRun, watch: Watch, interrupts: Interrupts) -> None:
    maker = check(task, run.config)
    number = numbers(archive).get(run.name)
    if number is None:
        number = create(archive, task, run.config, run.name, maker)
    with watch(run) as watcher:
        await drive(archive, number, task, run.config, watcher=watcher, parts=Parts(maker=maker), interrupts=interrupts)


def numbers(archive: Archive) -> dict[str, int]:
    """Returns the numbers of an archive's runs by name."""
    return {archive.run_record(number).name: number for number in archive.run_numbers()}


def _unfinished(archive: Archive, study: Study) -> list[StudyRun]:
    """Holds all recorded runs against the study and returns those that are missing or have budget left."""
    known = numbers(archive)
    left: list[StudyRun] = []
    for run in study.runs:
        number = known.get(run.name)
        if number is None:
            left.append(run)
            continue
        _refuse_another(archive, archive.run_record(number), study.task, run)
        if not _is_spent(archive, number, run.config):
            left.append(run)
    return left


def _is_spent(archive: Archive, number: int, config: RunConfig) -> bool:
    """Says whether a recorded run has nothing left of the budget that is asked for."""
    session = archive.session(number)
    if session is None or session.writing:
        return False  # whoever writes it is named when its lock is asked for
    if summary(archive, number)["steps"]["done"] >= config.steps:
        return session.status == "finished" or session.asked_steps > config.steps
    return session.status == "stopped" and (_is_out_of_time(session, config) or _is_out_of_money(session, config))


def _is_out_of_time(session: Session, config: RunConfig) -> bool:
    return config.max_seconds is not None and session.seconds >= config.max_seconds


def _is_out_of_money(session: Session, config: RunConfig) -> bool:
    return session.reason.startswith("budget_usd is spent") and session.budget_usd == config.budget_usd


def _refuse_another(archive: Archive, record: RunRecord, task: Task, run: StudyRun) -> None:
    """Refuses a recorded run that was made otherwise than this comparison would make it."""
    advice = "ask for the same, or choose another --archive or --name"
    where = f"run {record.name} of archive {archive.name} does not belong to this comparison"
    if record.evaluator_sha256 != task.evaluator_sha256:
        raise TaskError(
            f"{where}: the evaluator of task {task.name} has changed since ({record.evaluator_sha256[:12]} then, "
            f"{task.evaluator_sha256[:12]} now), and old and new scores would not compare; restore it, or choose another "
            "--archive or --name"
        )
    if record.initial_files and dict(record.initial_files) != dict(task.files):
        raise ConfigError(f"{where}: it began with another initial program; {advice}")
    there, asked = plain(build(RunConfig, record.config, f"run {record.name}")), plain(run.config)
    session = archive.session(record.number)
    if session is not None:
        there |= {"steps": session.asked_steps, "budget_usd": session.budget_usd}
    free = _FREE - (set(_BINDING_WITH_DOLLARS) if there["budget_usd"] or asked["budget_usd"] else set())
    different = [found for found in differences(there, asked) if found.key not in free]
    if different:
        said = "; ".join(f"{found.key} was {found.old!r} and is {found.new!r} here" for found in different[:_SHOWN])
        raise ConfigError(f"{where}: {said}; {advice}")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], within: str = "") -> Iterator[Difference]:  # Any: JSON values
    """Yields everything that differs between two nested tables, in the order of keys."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{within}{key}.")
        elif before != after:
            yield Difference(f"{within}{key}", before, after)


def recorded(archive: Archive, study: Study) -> dict[tuple[str, int], int]:
    """Finds the numbers of a study's runs, by strategy and seed.

    Raises:
        ArchiveError: If one is missing.
    """
    known = numbers(archive)
    missing = [run.name for run in study.runs if run.name not in known]
    if missing:
        raise ArchiveError(f"archive {archive.name} lacks {len(missing)} runs of this comparison, {missing[0]} first")
    return {(run.strategy, run.seed): known[run.name] for run in study.runs}
