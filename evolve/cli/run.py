"""Commands that drive runs: `run`, `resume`, `replay`, `steer`."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from evolve import api
from evolve.archive.connect import without_password
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.cli.budgets import with_budget
from evolve.cli.options import (
    DEFAULT,
    ArchiveOption,
    BudgetOption,
    ExecutorOption,
    IsolationOption,
    JsonOption,
    QuietOption,
    RunArgument,
    VerboseOption,
    WorkersOption,
)
from evolve.cli.output import arms_table, isolation_text, number, outcomes_text, print_json, seconds, spread_text, stderr, stdout
from evolve.cli.progress import progress
from evolve.config import resolve
from evolve.evaluators.sandbox import what_strong_lacks
from evolve.program import Isolation
from evolve.recording import recorded
from evolve.starting import find_starts
from evolve.tasks.catalog import find


def run(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A bundled or installed task's name, or a folder with task.toml.")],
    steps: Annotated[int | None, typer.Option(metavar="N", help="Attempts to make a child.")] = None,
    max_seconds: Annotated[float | None, typer.Option(metavar="S", help="Stop after so many seconds.")] = None,
    budget_usd: BudgetOption = None,
    seed: Annotated[int | None, typer.Option(metavar="S", help="Seed of everything random.")] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="What makes children: local, local/NAME, PROVIDER/MODEL[key=value,...]@URL; repeatable."),
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(metavar="NAME", help="How programs are kept and parents chosen (docs/strategies.md).")
    ] = None,
    workers: WorkersOption = None,
    proposals: Annotated[int | None, typer.Option(min=1, metavar="N", help="Replies awaited at once.")] = None,
    executor: ExecutorOption = None,
    order: Annotated[str | None, typer.Option(metavar="strict|asap", help="strict repeats exactly; asap waits for nobody.")] = None,
    isolation: IsolationOption = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="Settings; options win over it.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as islands.n_islands=2; repeatable.")
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X", help="Start from X: a file, a folder, a RUN (its best program), RUN/PROGRAM, or initial; repeatable."
        ),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call the run.")] = "",
    archive: ArchiveOption = DEFAULT,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Starts a run: improves a task's initial program step by step."""
    found = find(task)
    options = {
        "steps": steps,
        "max_seconds": max_seconds,
        "budget_usd": budget_usd,
        "seed": seed,
        "arms": arm,
        "strategy": strategy,
        "workers": workers,
        "stages": {"proposals": proposals},
        "executor": executor,
        "order": order,
        "isolation": isolation,
    }
    starts = find_starts(start or (), found, archive)
    resolved = with_budget(found, resolve(found, file=config, settings=setting or (), options=options))
    with _saying_how_to_resume(archive), progress(found, resolved.steps, stderr, quiet=quiet or _log_events(verbose)) as watcher:
        done = api.begin(found, resolved, starts=starts, archive=archive, name=name, watcher=watcher)
    _report(done, json=json, quiet=quiet)


def resume(
    run: RunArgument = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Steps of the whole run; more than before to go further.")] = None,
    max_seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Stop when the whole run has taken so many seconds.")
    ] = None,
    budget_usd: BudgetOption = None,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    archive: ArchiveOption = DEFAULT,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Takes up a run that stopped or was killed, or gives a finished one more steps."""
    with Archive.open(archive) as opened:
        number_ = opened.find_run(run)
        asked = steps or summary(opened, number_)["steps"]["asked"]
        task, resolved = recorded(opened, number_, None, {"steps": asked})
    with _saying_how_to_resume(archive), progress(task, resolved.steps, stderr, quiet=quiet or _log_events(verbose)) as watcher:
        done = api.resume(
            str(number_),
            steps=steps,
            max_seconds=max_seconds,
            budget_usd=budget_usd,
            workers=workers,
            executor=executor,
            archive=archive,
            watcher=watcher,
        )
    _report(done, json=json, quiet=quiet)


def steer(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name, number or unique prefix of a run.")],
    advice: Annotated[str, typer.Argument(metavar="ADVICE", help="What its prompts shall say.")],
    archive: ArchiveOption = DEFAULT,
) -> None:
    """Adds advice to a run's prompts, from its next request on, also while it is running."""
    number_ = api.steer(run, advice, archive=archive)
    stdout.print(f"run {number_} will be told: {advice.strip()}", markup=False)


def replay(
    run: RunArgument = None,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    archive: ArchiveOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Repeats a run from its record and reports every difference."""
    result = api.replay(run, workers=workers, executor=executor, archive=archive)
    if json:
        print_json({"steps": result.steps, "differences": list(result.differences)})
    elif not result.differences:
        stdout.print(f"{result.steps} steps repeated, no difference")
    else:
        for difference in result.differences:
            stdout.print(difference, markup=False)
        stdout.print(f"{result.steps} steps repeated, {len(result.differences)} values differ")
    if result.differences:
        raise typer.Exit(1)


def _log_events(verbose: bool) -> bool:
    """Lets every event of the run through to standard error, if that was asked for; returns whether it was."""
    if verbose:
        logging.getLogger("evolve").setLevel(logging.INFO)
    return verbose


@contextmanager
def _saying_how_to_resume(archive: str) -> Iterator[None]:
    """Ends a command that a second Ctrl-C cut off, or one that came before the run had begun, with a word on what to do."""
    try:
        yield
    except KeyboardInterrupt:
        command = f"evolve runs{_archive_option(archive)}"
        stderr.print(f"interrupted at once; what was recorded is safe. Look with: {command}", markup=False)
        raise typer.Exit(130) from None


def _report(done: api.Run, *, json: bool, quiet: bool) -> None:
    """Prints what a session came to and exits with its status."""
    shown = done.summary()
    if json:
        print_json(shown)
    elif not quiet:
        _print_summary(shown, done)
    interrupted = done.ending is not None and done.ending.reason == "interrupted"
    if interrupted:
        stderr.print(
            f"interrupted after {shown['steps']['done']} steps; nothing is lost. Go on with: "
            f"evolve resume {shown['name']}{_archive_option(done.archive)}",
            markup=False,
        )
        raise typer.Exit(130)
    if done.ending is not None and done.ending.status == "stopped" and shown["evaluated"] == 0:
        command = f"evolve resume {shown['name']}{_archive_option(done.archive)}"
        stderr.print(f"stopped at its budget before any child was evaluated; go on with: {command}", markup=False)
        raise typer.Exit(3)


def _print_summary(shown: dict[str, Any], done: api.Run) -> None:  # Any: JSON values
    best, initial, steps = shown["best"], shown["initial"], shown["steps"]
    stdout.print(
        f"run {shown['name']}: {shown['status']}, {steps['done']} of {steps['asked']} steps in {seconds(shown['seconds'])}, "
        f"isolation {isolation_text(shown)}",
        markup=False,
    )
    if shown["isolation"] not in (None, Isolation.STRONG) and (lacks := what_strong_lacks()):
        stderr.print(f"the strongest level to be had here was {shown['isolation']}: {lacks}", style="dim", markup=False)
    if best is not None and initial is not None:
        spread = spread_text(best["interval"], best["objective"])
        stdout.print(
            f"objective {number(initial['objective'])} → {number(best['objective'])}{spread} at step {best['step']}", style="bold"
        )
    stdout.print(f"outcomes: {outcomes_text(shown['outcomes'])}", markup=False)
    stdout.print(arms_table(shown["arms"]))
    if shown["embeddings"]["usd"]:
        stdout.print(f"embeddings: {shown['embeddings']['usd']:.4f} usd", markup=False)
    if shown["embeddings"]["failed"]:
        stdout.print(f"{shown['embeddings']['failed']} programs were not embedded, and compared by identity alone", markup=False)
    option = _archive_option(done.archive)
    name = shown["name"]
    stdout.print("next:", style="dim")
    commands = (
        (f"evolve diff initial best --run {name}{option}", "what was changed"),
        (f"evolve best {name} --output DIR{option}", "take the program away, with patch, picture and provenance"),
        (f"evolve resume {name} --steps {2 * steps['asked']}{option}", "go further"),
    )
    width = max(len(command) for command, _ in commands)
    for command, about in commands:
        stdout.print(f"  {command:<{width}}   {about}", markup=False)


def _archive_option(archive: str) -> str:
    if archive == os.environ.get("EVOLVE_ARCHIVE", DEFAULT):
        return ""
    return f" --archive {shlex.quote(without_password(archive))}"


COMMANDS = {"run": run, "resume": resume, "replay": replay, "steer": steer}
