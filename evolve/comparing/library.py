"""Comparisons as a library: what `evolve.compare` is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evolve.api import complete
from evolve.archive import DEFAULT_ARCHIVE
from evolve.archive.records import Addition
from evolve.archive.store import Archive
from evolve.comparing.comparison import Comparison, read_comparison
from evolve.comparing.curves import Axis
from evolve.comparing.study import Study, StudyRun, Watch, check_study, make_study, run_study
from evolve.comparing.variants import Variant, parse_variants
from evolve.config import RunConfig, resolve
from evolve.errors import ConfigError
from evolve.loop import Watcher
from evolve.program import Task
from evolve.search import Finished, Search
from evolve.settings import merged
from evolve.tasks.catalog import find


def compare(
    task: Task | str,
    *,
    strategies: Sequence[str] = (),
    seeds: int | Sequence[int] = 5,
    steps: int | None = None,
    budget_usd: float | None = None,
    max_seconds: float | None = None,
    arms: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,  # Any: TOML values
    archive: str | Path = DEFAULT_ARCHIVE,
    name: str = "",
    runs_at_once: int = 1,
) -> Comparison:
    """Compares strategies on a task: all with the same seeds, arms and budget.

    Finished runs of an earlier, equal call are not run again, and interrupted ones are taken up. The budget that results are
    read along is ``steps``, or where that is not given ``budget_usd`` or ``max_seconds``; the others limit each run besides.

    Args:
        task: A `Task`, a task's name, or its folder.
        strategies: ``NAME`` or ``NAME[key=value,...]``; none is every strategy there is.
        seeds: How many, from 0, or which.
        steps: Attempts to make a child, in each run.
        budget_usd: Dollars for language models, in each run.
        max_seconds: Wall-clock seconds of each run.
        arms: SPECs of what makes children.
        settings: Any other setting, nested as in a TOML file.
        archive: File or URL; made when it does not exist.
        name: What the runs' names begin with; the task's name when empty.
        runs_at_once: Runs at the same time.

    Raises:
        KeyboardInterrupt: If runs were told to stop; the same call goes on where they were.
        EvolveError: If a run cannot start or go on, or one of the same name was made otherwise.
    """
    found = find(task) if isinstance(task, str) else task
    named = {"steps": steps, "budget_usd": budget_usd, "max_seconds": max_seconds, "arms": None if arms is None else list(arms)}
    options = merged(settings or {}, {key: value for key, value in named.items() if value is not None})

    def resolve_one(variant: Variant, seed: int) -> RunConfig:
        one = merged(options, {"strategy": variant.strategy, "seed": seed})
        return resolve(found, options=merged(one, variant.table))

    study = make_study(
        found,
        parse_variants(strategies),
        range(seeds) if isinstance(seeds, int) else seeds,
        resolve_one,
        axis=chosen_axis(steps=steps, budget_usd=budget_usd, max_seconds=max_seconds),
        name=name,
    )
    comparison = carry_out(study, archive, runs_at_once=runs_at_once)
    if comparison is None:
        raise KeyboardInterrupt
    return comparison


def chosen_axis(*, steps: int | None, budget_usd: float | None, max_seconds: float | None) -> Axis:
    """Says what a comparison is read along: steps, unless only dollars or seconds were asked for.

    Raises:
        ConfigError: If both of these were, and no steps.
    """
    if steps is not None or (budget_usd is None and max_seconds is None):
        return Axis.STEPS
    if budget_usd is not None and max_seconds is not None:
        raise ConfigError("give one budget to compare by, steps, dollars or seconds; with steps, the others are further limits")
    return Axis.USD if budget_usd is not None else Axis.SECONDS


def carry_out(study: Study, archive: str | Path, *, watch: Watch | None = None, runs_at_once: int = 1) -> Comparison | None:
    """Drives the runs of a study that are missing and reads what all of them came to.

    Args:
        study: From `make_study`.
        archive: File or URL; made when it does not exist.
        watch: Told of every run.
        runs_at_once: Runs at the same time.

    Returns:
        None if the runs were interrupted before all were finished.

    Raises:
        ConfigError: If ``runs_at_once`` is not at least 1.
        EvolveError: If a run cannot start or go on, or one of the same name was made otherwise.
    """
    if runs_at_once < 1:
        raise ConfigError(f"runs_at_once must be >= 1, got {runs_at_once}")
    check_study(study)
    with Archive.open(archive, create=True) as opened:
        finished = complete(lambda: run_study(opened, study, watch or _unwatched, at_once=runs_at_once))
        return read_comparison(opened, study) if finished else None


class _Unseen:
    """Watches nothing."""

    def settled(self, addition: Addition, finished: Finished, search: Search) -> None:
        pass


@contextmanager
def _unwatched(_: StudyRun) -> Iterator[Watcher]:
    yield _Unseen()
