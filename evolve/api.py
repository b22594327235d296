"""`evolve` as a library: start, resume and repeat runs from Python."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from evolve import replaying, rescoring
from evolve.archive import DEFAULT_ARCHIVE
from evolve.archive.connect import without_password
from evolve.archive.queries import steps as step_rows
from evolve.archive.records import Start
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.config import RunConfig, resolve, with_limit
from evolve.errors import ConfigError
from evolve.loop import Watcher
from evolve.opening import StartsWatcher
from evolve.program import Evaluation, Program, Task
from evolve.recording import begun_with, check, create, recorded
from evolve.session import Ending, Parts, drive
from evolve.starting import find_starts
from evolve.tasks.catalog import find

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an archive; every property reads the archive anew.

    Attributes:
        archive: File or URL of the archive.
        number: The run's number in it.
        ending: How the session that returned this record ended; None for a run that was only looked up.
    """

    archive: str
    number: int
    ending: Ending | None = None

    def __repr__(self) -> str:
        # Notebooks are passed on: without the password that a URL may hold.
        return f"Run(archive={without_password(self.archive)!r}, number={self.number}, ending={self.ending!r})"

    def summary(self) -> dict[str, Any]:  # Any: JSON values
        """The run in figures: what ``evolve show RUN --json`` prints."""
        with Archive.open(self.archive) as archive:
            return summary(archive, self.number)

    @property
    def best(self) -> Program | None:
        """The best program; None while nothing has scored."""
        found = self._best()
        return None if found is None else found[0]

    @property
    def best_evaluation(self) -> Evaluation | None:
        """The best program's evaluation; None while nothing has scored."""
        found = self._best()
        return None if found is None else found[1]

    @property
    def best_objective(self) -> float | None:
        """The best objective; None while nothing has scored."""
        evaluation = self.best_evaluation
        return None if evaluation is None else evaluation.objective

    def program(self, program_id: str) -> Program:
        """Returns a program by its identifier, or a unique beginning of one."""
        with Archive.open(self.archive) as archive:
            return archive.program(*archive.find_program(self.number, program_id))[0]

    def steps(self) -> list[dict[str, Any]]:  # Any: JSON values
        """A row per step, in step order: what ``evolve export RUN`` writes."""
        with Archive.open(self.archive) as archive:
            return list(step_rows(archive, self.number))

    def _best(self) -> tuple[Program, Evaluation | None] | None:
        with Archive.open(self.archive) as archive:
            best = summary(archive, self.number)["best"]
            return None if best is None else archive.program(self.number, best["program"])


def run(
    task: Task | str,
    *,
    steps: int | None = None,
    seed: int | None = None,
    arms: Sequence[str] | None = None,
    workers: int | None = None,
    executor: str | None = None,
    max_seconds: float | None = None,
    budget_usd: float | None = None,
    strategy: str | None = None,
    order: str | None = None,
    isolation: str | None = None,
    settings: Mapping[str, Any] | None = None,  # Any: TOML values
    start: Sequence[str | Path] = (),
    archive: str | Path = DEFAULT_ARCHIVE,
    name: str = "",
    watcher: Watcher | None = None,
) -> Run:
    """Runs a search from its starting programs and returns when it has ended.

    Args:
        task: A `Task`, a task's name, or its folder.
        steps: Attempts to make a child.
        seed: Seed of everything random.
        arms: SPECs of what makes children.
        workers: Evaluations at once.
        executor: Where evaluations run: ``"local"``, ``"ray"``, ``"HOST:PORT"`` or ``"ray://HOST:PORT"``, or a plug-in's name.
        max_seconds: Wall-clock seconds.
        budget_usd: Dollars for language models; None is no limit.
        strategy: Name of a strategy.
        order: ``"strict"`` or ``"asap"``.
        isolation: The weakest sandbox level to accept.
        settings: Any other setting, nested as in a TOML file.
        start: What to start from, in place of the task's initial program: files, folders, RUNs of the archive, or
            ``"initial"`` (see `evolve.starting.find_starts`).
        archive: File or URL; made when it does not exist.
        name: What to call the run; made from the task's name when empty.
        watcher: Told of every step.

    Raises:
        EvolveError: If it cannot start or go on; what it did so far is in the archive.
    """
    found = find(task) if isinstance(task, str) else task
    named = {
        "steps": steps,
        "seed": seed,
        "arms": None if arms is None else list(arms),
        "workers": workers,
        "executor": executor,
        "max_seconds": max_seconds,
        "budget_usd": budget_usd,
        "strategy": strategy,
        "order": order,
        "isolation": isolation,
    }
    options = {**(settings or {}), **{key: value for key, value in named.items() if value is not None}}
    starts = find_starts(start, found, archive)
    return begin(found, resolve(found, options=options), starts=starts, archive=archive, name=name, watcher=watcher)


def begin(
    task: Task,
    config: RunConfig,
    *,
    archive: str | Path,
    starts: Sequence[Start] = (),
    name: str = "",
    watcher: Watcher | None = None,
) -> Run:
    """Begins a run of a resolved configuration from starting points that were read (see `run`)."""
    if starts:
        task = begun_with(task, starts[0].files)
    maker = check(task, config)
    config = with_limit(task, config)
    with Archive.open(archive, create=True) as opened:
        number = create(opened, task, config, name, maker, starts=starts)
        parts = Parts(maker=maker)
        return Run(str(archive), number, complete(lambda: drive(opened, number, task, config, watcher=watcher, parts=parts)))


def resume(
    run: str | None = None,
    *,
    steps: int | None = None,
    max_seconds: float | None = None,
    budget_usd: float | None = None,
    workers: int | None = None,
    executor: str | None = None,
    archive: str | Path = DEFAULT_ARCHIVE,
    task: Task | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Takes up a run that stopped or was killed, or gives a finished one more steps.

    Args:
        run: Name, number or unique prefix; None is the latest.
        steps: Steps of the whole run; None keeps what was asked for before.
        max_seconds: Wall-clock seconds of the whole run, earlier sessions included.
        budget_usd: Dollars of the whole run, earlier sessions included; None keeps what was allowed before.
        workers: Evaluations at once.
        executor: Where evaluations run; None is where they ran before.
        archive: File or URL.
        task: The task of a run that was given it inline.
        watcher: Told of every further step.

    Raises:
        EvolveError: If it cannot go on.
    """
    with Archive.open(archive) as opened:
        number = opened.find_run(run)
        asked = summary(opened, number)["steps"]["asked"]
        changes = {
            "steps": steps or asked,
            "workers": workers,
            "executor": executor,
            "max_seconds": max_seconds,
            "budget_usd": budget_usd,
        }
        found, config = recorded(opened, number, task, changes)
        return Run(str(archive), number, complete(lambda: drive(opened, number, found, config, watcher=watcher)))


def steer(run: str | None, advice: str, *, archive: str | Path = DEFAULT_ARCHIVE) -> int:
    """Leaves advice for a run's prompts, from its next request on; returns the run's number.

    Args:
        run: Name, number or unique prefix; None is the latest.
        advice: What to tell it.
        archive: File or URL.

    Raises:
        ConfigError: If the advice is empty.
    """
    if not advice.strip():
        raise ConfigError("advice must say something")
    with Archive.open(archive) as opened:
        number = opened.find_run(run)
        opened.advise(number, advice.strip())
        return number


def replay(
    run: str | None = None,
    *,
    workers: int | None = None,
    executor: str | None = None,
    archive: str | Path = DEFAULT_ARCHIVE,
    task: Task | None = None,
) -> replaying.Replay:
    """Repeats a run from its record and reports any difference (see `evolve.replaying`).

    Args:
        run: Name, number or unique prefix; None is the latest.
        workers: Evaluations at once.
        executor: Where evaluations run; None is where they ran before.
        archive: File or URL.
        task: The task of a run that was given it inline.

    Raises:
        EvolveError: If it cannot be repeated.
    """
    with Archive.open(archive) as opened:
        number = opened.find_run(run)
        return complete(lambda: replaying.replay(opened, number, task, {"workers": workers, "executor": executor}))


def rescore(
    run: str | None = None,
    *,
    top: int | None = None,
    name: str = "",
    workers: int | None = None,
    force: bool = False,
    archive: str | Path = DEFAULT_ARCHIVE,
    task: Task | None = None,
    watcher: StartsWatcher | None = None,
) -> rescoring.Rescored:
    """Scores a run's programs again by its task's present evaluator, into a new run (see `evolve.rescoring.rescore`).

    Args:
        run: Name, number or unique prefix; None is the latest.
        top: How many, the best ones, and the initial program; None is all.
        name: What to call the new run; made from the task's name when empty.
        workers: Evaluations at once.
        force: Whether to score again where the evaluator is the same.
        archive: File or URL.
        task: The task of a run that was given it inline.
        watcher: Told of each program as it is scored.

    Raises:
        EvolveError: If it cannot start or go on; what it did so far is in the archive.
    """
    with Archive.open(archive) as opened:
        number = opened.find_run(run)
        return complete(
            lambda: rescoring.rescore(opened, number, task=task, top=top, name=name, workers=workers, force=force, watcher=watcher)
        )


def complete(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine to its end, also where an event loop runs already, as in a notebook.

    Raises:
        KeyboardInterrupt: If a second Ctrl-C ended it at once.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            return asyncio.run(begin())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None  # a second Ctrl-C ended it at once
    return _complete_in_a_thread(begin)


def _complete_in_a_thread(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine to its end in an event loop of its own, which Ctrl-C ends at once."""
    results: list[T] = []
    errors: list[BaseException] = []
    drivers: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = []

    async def drive_here() -> T:
        work_task = asyncio.current_task()
        if work_task is not None:
            drivers.append((asyncio.get_running_loop(), work_task))
        return await begin()

    def work() -> None:
        try:
            results.append(asyncio.run(drive_here()))
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=work, name="evolve")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        for loop, driver in drivers:
            loop.call_soon_threadsafe(driver.cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]
    return results[0]
