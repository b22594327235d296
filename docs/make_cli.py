"""Writes docs/cli.md from the commands' own help; `tests/test_docs.py` fails when it is stale."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from evolve.cli.main import COMMANDS, main

SUBCOMMANDS = {"task": ("list", "new", "copy", "draft", "check", "baselines"), "models": ("list", "check")}


def help_of(*words: str) -> str:
    """Returns what a command prints for ``--help``."""
    os.environ["COLUMNS"] = os.environ["TERMINAL_WIDTH"] = "100"
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


def page() -> str:
    """Returns the whole page."""
    below = [(name, subcommand) for name, subcommands in SUBCOMMANDS.items() for subcommand in subcommands]
    commands = [(), *((name,) for name in COMMANDS), *below]
    sections = [f"## {' '.join(['evolve', *words])}\n\n```\n{help_of(*words)}\n```\n" for words in commands]
    return "\n".join(["# The command line\n\nMade by `docs/make_cli.py` from the commands themselves.\n", *sections])


if __name__ == "__main__":
    (Path(__file__).parent / "cli.md").write_text(page(), encoding="utf-8")
