"""Entry point of the `evolve` command: imports the command that was asked for, and turns errors into exit statuses.

Exit status: 0 done, 1 the run could not go on, 2 wrong usage, 3 stopped at a budget before any program was evaluated,
130 interrupted.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

import typer

from evolve.errors import ConfigError, EvolveError, RunNotFound


class Command(NamedTuple):
    """Where a command lives and the line that ``--help`` shows for it."""

    module: str
    line: str


#: Held against the functions' docstrings by a test: ``--help`` must not import them (numpy alone costs 0.2 s).
COMMANDS = {
    "run": Command("evolve.cli.run", "Starts a run: improves a task's initial program step by step."),
    "resume": Command("evolve.cli.run", "Takes up a run that stopped or was killed, or gives a finished one more steps."),
    "replay": Command("evolve.cli.run", "Repeats a run from its record and reports every difference."),
    "rescore": Command(
        "evolve.cli.rescore", "Scores a run's programs again after its task's evaluator has changed, into a new run."
    ),
    "steer": Command("evolve.cli.run", "Adds advice to a run's prompts, from its next request on, also while it is running."),
    "compare": Command(
        "evolve.cli.compare",
        "Compares strategies on a task: the same seeds, arms and budget, medians with intervals, curves and tests.",
    ),
    "runs": Command("evolve.cli.read", "Lists the runs of the archive, the latest last."),
    "show": Command("evolve.cli.read", "Shows one run in figures: objective, outcomes, arms."),
    "best": Command("evolve.cli.best", "Shows a run's best program, or writes it to a folder with patch, picture and provenance."),
    "program": Command("evolve.cli.read", "Shows one program: ancestry, evaluation, attempts, source."),
    "diff": Command("evolve.cli.read", "Shows what changed between two programs, or between a parent and its child."),
    "tree": Command("evolve.cli.read", "Draws the tree of programs that led to the best."),
    "export": Command("evolve.cli.read", "Writes every step of a run as JSON lines or CSV."),
    "task": Command("evolve.cli.tasks", "Lists, writes, drafts and checks tasks."),
    "eval": Command("evolve.cli.evaluate", "Scores program files against a task, each in a fresh sandbox."),
    "models": Command("evolve.cli.models", "Lists language models with their prices, and tries them."),
    "doctor": Command("evolve.cli.doctor", "Says what works on this machine, and what to do about what does not."),
}


def build_app(asked: str | None) -> typer.Typer:
    """Builds the command-line application.

    Args:
        asked: The command to import; the others are known by name and line alone. None imports all.
    """
    app = typer.Typer(
        name="evolve",
        help="Improves programs: mutators rewrite them, a sandbox scores them, an archive remembers everything.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich costs 0.1 s to import, and only --help would use it
    )
    app.callback(invoke_without_command=True)(_version)
    for name, command in COMMANDS.items():
        wanted = asked in (None, name)
        target = importlib.import_module(command.module).COMMANDS[name] if wanted else _stub(command.line)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, help=command.line)
        else:
            app.command(name)(target)
    return app


def _version(show: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if show:
        print(version("evolve-platform"))
        raise typer.Exit


def _stub(line: str) -> Callable[[], None]:
    def stub() -> None:
        raise AssertionError("a command that was not imported cannot run")

    stub.__doc__ = line
    return stub


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with its status."""
    words = sys.argv[1:] if arguments is None else arguments
    asked = next((word for word in words if not word.startswith("-")), "")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        build_app(asked)(args=words, prog_name="evolve")
    except EvolveError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError | RunNotFound) else 1)
