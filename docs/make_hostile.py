"""Writes the table of `hostile-suite.md` anew from the programs.

Usage: python docs/make_hostile.py
"""

from __future__ import annotations

from pathlib import Path

from evolve.program import Isolation
from evolve.testing.hostile.programs import THEMES
from evolve.testing.hostile.record import Hostile

PAGE = Path(__file__).with_name("hostile-suite.md")
MARK = "<!-- Below this line docs/make_hostile.py writes. -->\n"


def cell(program: Hostile, level: Isolation) -> str:
    """Says in a word what a level is said to do about a program."""
    if level.rank < program.least.rank:
        return "skipped"
    return "stopped" if level in program.claims else ""


def tables() -> str:
    """Writes one table for each theme."""
    parts = []
    for theme, programs in THEMES.items():
        rows = "".join(
            f"| {program.name} | {program.tries} | {' | '.join(cell(program, level) for level in Isolation)} | {program.sign} |\n"
            for program in programs
        )
        head = "| program | what it tries | `process` | `landlock` | `strong` | noticed by |\n|---|---|---|---|---|---|\n"
        parts.append(f"\n### {theme}\n\n{head}{rows}")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(MARK)[0] + MARK + tables())
