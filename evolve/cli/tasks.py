"""The command group `task`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from evolve import drafting
from evolve.checks import check_task
from evolve.cli.baselines import baselines
from evolve.cli.budgets import with_cap
from evolve.cli.options import IsolationOption, JsonOption
from evolve.cli.output import number, print_json, stderr, stdout, table
from evolve.config import resolve
from evolve.draft_journal import Attempt
from evolve.program import Outcome
from evolve.settings import plain
from evolve.tasks import scaffold
from evolve.tasks.catalog import find, find_unfinished, list_tasks

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """Lists bundled and installed tasks."""
    tasks, broken = list_tasks()
    for message in broken:
        stderr.print(f"warning: {message}", markup=False)
    if json:
        print_json([{"name": t.name, "summary": t.summary, "subject": t.subject, "origin": t.origin} for t in tasks])
    else:
        rows = [[t.name, t.subject, t.origin, t.summary] for t in tasks]
        stdout.print(table(["task", "subject", "origin", "summary"], rows))


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and underscores.")],
    parent: Annotated[Path, typer.Option("--in", metavar="DIR", help="Where to make the task's folder.")] = Path(),
    language: Annotated[
        str, typer.Option(metavar="NAME", help="What programs are written in: python, cpp, javascript.")
    ] = "python",
) -> None:
    """Writes a new task's folder to start from."""
    folder = scaffold.write(name, parent, language)
    entry = next(path.name for path in folder.iterdir() if path.stem in ("initial", "main"))
    stdout.print(f"wrote {folder}: edit task.toml, {entry} and evaluate.py, then", markup=False)
    place = folder if folder.is_absolute() else Path(".") / folder
    stdout.print(f"  evolve task check ./{place}\n  evolve run ./{place} --steps 100", markup=False)
    stdout.print(f"or delete {entry} and have a model write it: evolve task draft ./{place} --arm SPEC", markup=False)


@app.command()
def copy(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A name or a folder.")],
    parent: Annotated[Path, typer.Option("--in", metavar="DIR", help="Where to make the copy.")] = Path(),
) -> None:
    """Copies a task's folder, to be changed: its settings, its initial program, its scorer."""
    folder = scaffold.copy(find(task), parent)
    place = folder if folder.is_absolute() else Path(".") / folder
    stdout.print(f"wrote {folder}: change what you like, then", markup=False)
    stdout.print(f"  evolve task check ./{place}\n  evolve run ./{place}", markup=False)


@app.command()
def draft(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Holds task.toml, evaluate.py and the background text.")],
    arm: Annotated[str, typer.Option(metavar="SPEC", help="The model that writes: PROVIDER/MODEL[key=value,...]@URL.")],
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", metavar="X", help="Dollars; this command never spends more.")
    ] = None,
    attempts: Annotated[int, typer.Option(min=1, metavar="N", help="Answers tried before it is given up.")] = 3,
    isolation: IsolationOption = None,
    json: JsonOption = False,
) -> None:
    """Has a language model write the missing files of a task's program; only a program that scores is kept."""
    unfinished = find_unfinished(folder)
    options = {"arms": [arm], "budget_usd": budget_usd, "isolation": isolation, "workers": 1}
    config = with_cap(resolve(unfinished.task, options=options))
    made = asyncio.run(drafting.draft(unfinished, config, attempts=attempts, watch=_told))
    if json:
        print_json(
            {
                "ok": bool(made.written),
                "task": unfinished.task.name,
                "files": [str(path) for path in made.written],
                "objective": made.evaluation.objective if made.evaluation is not None else None,
                "attempts": plain(made.attempts),
                "usd": made.usd,
                "reason": made.reason,
                "journal": str(made.journal),
            }
        )
    else:
        _print_draft(made, folder)
    if not made.written:
        # As `run`: 3 is a budget that ended it before anything was tried.
        raise typer.Exit(1 if made.attempts else 3)


def _told(attempt: Attempt) -> None:
    lines = attempt.why.strip().splitlines()
    what = f"scores {number(attempt.objective)}" if attempt.outcome is Outcome.OK else f"{attempt.outcome}: {lines[-1]}"
    stderr.print(f"attempt {attempt.number + 1}: {what} ({attempt.cost_usd:.4f} usd)", markup=False)


def _print_draft(made: drafting.Draft, folder: str) -> None:
    if made.reason:
        stderr.print(made.reason, style="bold red", markup=False)
    for path in made.written:
        stdout.print(f"wrote {path}", style="bold", markup=False)
    stdout.print(f"{made.usd:.4f} usd; what was asked and answered is in {made.journal}", markup=False)
    if made.fixed:
        stdout.print(f"without EVOLVE-BLOCK markers, and so fixed: {', '.join(made.fixed)}", markup=False)
    if made.written:
        stdout.print(f"read it, mark what may change, then\n  evolve task check {folder}", markup=False)


@app.command()
def check(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A name or a folder.")],
    isolation: IsolationOption = None,
    json: JsonOption = False,
) -> None:
    """Checks that a task scores its initial program, repeats, and is not fooled by its attacks."""
    found = find(task)
    checks = asyncio.run(check_task(found, resolve(found, options={"workers": 1, "isolation": isolation})))
    ok = all(item.ok for item in checks)
    if json:
        print_json({"ok": ok, "checks": plain(checks)})
    else:
        for item in checks:
            stdout.print(
                f"{'ok  ' if item.ok else 'FAIL'}  {item.check}: {item.detail}", style="" if item.ok else "bold red", markup=False
            )
        stdout.print(f"{sum(item.ok for item in checks)} of {len(checks)} checks hold")
    if not ok:
        raise typer.Exit(1)


app.command()(baselines)

COMMANDS = {"task": app}
