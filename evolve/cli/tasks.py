"""The command group `task`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from evolve.checks import check_task
from evolve.cli.options import IsolationOption, JsonOption
from evolve.cli.output import print_json, stderr, stdout, table
from evolve.config import resolve
from evolve.settings import plain
from evolve.tasks import scaffold
from evolve.tasks.catalog import find, list_tasks

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


COMMANDS = {"task": app}
