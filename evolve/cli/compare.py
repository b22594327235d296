"""The command `compare`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from evolve.cli.budgets import with_budget
from evolve.cli.options import DEFAULT, ArchiveOption, JsonOption, QuietOption
from evolve.cli.output import dollars, print_json, stderr, stdout, table
from evolve.cli.progress import NoProgress, progress
from evolve.comparing.comparison import Comparison
from evolve.comparing.figure import check_ending, draw
from evolve.comparing.library import carry_out, chosen_axis
from evolve.comparing.report import (
    as_json,
    as_markdown,
    attainable_text,
    budget_text,
    coverage_text,
    figures,
    interval_text,
    p_text,
    share_text,
)
from evolve.comparing.study import Study, StudyRun, Watch, make_study
from evolve.comparing.variants import Variant, parse_variants
from evolve.config import RunConfig, resolve
from evolve.errors import ConfigError
from evolve.loop import Watcher
from evolve.settings import merged
from evolve.tasks.catalog import find

_SEEDS = "5"


def compare(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A bundled or installed task's name, or a folder with task.toml.")],
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[key=value,...]",
            help="A strategy, with settings of its own in brackets; repeatable. All there are by default.",
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N|A,B,...", help="How many seeds, from 0, or which (7, is seed 7).")] = _SEEDS,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Attempts to make a child, in each run.")] = None,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", metavar="X", help="Dollars for language models, in each run.")
    ] = None,
    max_seconds: Annotated[float | None, typer.Option(metavar="S", help="Seconds of each run.")] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="What makes children, in every run; repeatable."),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="Settings of every run; options win over it.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting of every run; repeatable.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="What the runs' names begin with; the task's name by default.")] = "",
    archive: ArchiveOption = DEFAULT,
    report: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the whole report there.")] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE.png|svg|pdf", help="Draw the best so far of each strategy there.")
    ] = None,
    runs_at_once: Annotated[int, typer.Option(min=1, metavar="N", help="Runs at the same time.")] = 1,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compares strategies on a task: the same seeds, arms and budget, medians with intervals, curves and tests."""
    _check_files(report, figure)
    found, variants = find(task), parse_variants(strategy or ())
    options = {"steps": steps, "budget_usd": budget_usd, "max_seconds": max_seconds, "arms": arm}

    def resolve_one(variant: Variant, seed: int) -> RunConfig:
        own = merged({**options, "strategy": variant.strategy, "seed": seed}, variant.table)
        return resolve(found, file=config, settings=setting or (), options=own)

    axis = chosen_axis(steps=steps, budget_usd=budget_usd, max_seconds=max_seconds)
    study = make_study(found, variants, read_seeds(seeds), resolve_one, axis=axis, name=name)
    study = _with_budget(study)
    comparison = _carried_out(study, archive, quiet=quiet, runs_at_once=runs_at_once)
    if figure is not None:
        draw(comparison, figure)
    if report is not None:
        shown = "" if figure is None else Path(os.path.relpath(figure, report.parent)).as_posix()
        report.write_text(as_markdown(comparison, shown), encoding="utf-8")
    if json:
        print_json(as_json(comparison))
    elif not quiet:
        _print(comparison, [path for path in (report, figure) if path is not None])


def read_seeds(text: str) -> list[int]:
    """Reads the seeds of a comparison: how many, or a list of them with commas.

    Raises:
        ConfigError: If it is neither.
    """
    items = [item.strip() for item in text.split(",")]
    if not all(item.isascii() and item.isdigit() for item in items if item) or not any(items):
        raise ConfigError(f"--seeds takes a number of seeds, such as 5, or a list of them, such as 3,7,9; got {text!r}")
    listed = [int(item) for item in items if item]
    return list(range(listed[0])) if len(items) == 1 else listed


def _check_files(report: Path | None, figure: Path | None) -> None:
    """Refuses files that could not be written, before hours are spent on what they shall hold."""
    if figure is not None:
        check_ending(figure)
    for path in (report, figure):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}")


def _with_budget(study: Study) -> Study:
    """Sees to it that runs with paid models have a budget, the same for all, and says what all of them may cost."""
    configs = [run.config for run in study.runs[: len(study.strategies)]]
    each = configs[0].budget_usd
    for config in configs:
        each = each or with_budget(study.task, config).budget_usd
    if each is None:
        return study
    stderr.print(f"{len(study.runs)} runs of at most {dollars(each)} usd: at most {dollars(len(study.runs) * each)} usd in all")
    runs = tuple(replace(run, config=replace(run.config, budget_usd=each)) for run in study.runs)
    return replace(study, runs=runs)


def _carried_out(study: Study, archive: str, *, quiet: bool, runs_at_once: int) -> Comparison:
    """Drives what is missing; an interruption ends the command with a word on how to go on."""
    try:
        watch = _quiet if quiet else _watch(study, live=runs_at_once == 1)
        comparison = carry_out(study, archive, watch=watch, runs_at_once=runs_at_once)
    except KeyboardInterrupt:
        comparison = None
    if comparison is None:
        command = shlex.join(["evolve", *sys.argv[1:]])
        stderr.print(f"interrupted; nothing is lost. The same command goes on: {command}", markup=False)
        raise typer.Exit(130)
    return comparison


def _watch(study: Study, *, live: bool) -> Watch:
    """Shows which run is at work, and with one at a time how it comes along."""
    places = {run.name: place for place, run in enumerate(study.runs, start=1)}

    @contextmanager
    def watch(run: StudyRun) -> Iterator[Watcher]:
        stderr.print(f"run {places[run.name]} of {len(places)}: {run.name}", style="bold", markup=False)
        with progress(study.task, run.config.steps, stderr, quiet=not live) as watcher:
            yield watcher

    return watch


@contextmanager
def _quiet(_: StudyRun) -> Iterator[Watcher]:
    yield NoProgress()


def _print(comparison: Comparison, written: Sequence[Path]) -> None:
    direction, budget = comparison.direction, budget_text(comparison.axis, comparison.budget)
    stdout.print(f"{comparison.task}: {comparison.metric} ({direction}) after {budget}", style="bold", markup=False)
    rows = [
        [
            result.strategy,
            interval_text(result.median),
            interval_text(result.area, share_text),
            ", ".join(figures(v) for v in result.values),
        ]
        for result in comparison.strategies
    ]
    stdout.print(table(["strategy", "median [95 %]", "area [95 %]", "values, by seed"], rows))
    stdout.print(coverage_text(len(comparison.seeds)), style="dim", markup=False)
    if comparison.tests:
        stdout.print(table(["first", "second", "difference [95 %]", "first better", "p", "p, Holm"], _test_rows(comparison)))
        stdout.print(attainable_text(comparison), style="dim", markup=False)
    for path in written:
        stdout.print(f"written: {path}", markup=False)


def _test_rows(comparison: Comparison) -> list[list[str]]:
    return [
        [
            test.first,
            test.second,
            interval_text(test.difference),
            f"{test.superiority:.0%}",
            p_text(test.p),
            p_text(test.adjusted),
        ]
        for test in comparison.tests
    ]


COMMANDS = {"compare": compare}
