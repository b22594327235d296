"""Tells a model what its child repeats, so that the next one is something else."""

from __future__ import annotations

from evolve.archive.records import Screen, Verdict
from evolve.diffing import unified
from evolve.mutation import Scored
from evolve.program import Files

#: Of a difference; a near copy differs in a few lines, and those that it shares with its original need no telling.
_MOST_LINES = 40
_MOST_CHARS = 2000


def repeated(screen: Screen, known: Scored, child: Files) -> str:
    """Says which known program a rejected child repeats, what that came to, and how little differs.

    Args:
        screen: What rejected the child.
        known: The program that it names, with its evaluation.
        child: The rejected source.

    Returns:
        Text for a complaint; whoever shows it puts it in a fence.
    """
    evaluation = known.evaluation
    came_to = f"ended as {evaluation.outcome}" if evaluation.objective is None else f"scored {evaluation.objective!r}"
    asked = "make a change that the program's behaviour shows, and another one than this"
    if screen.verdict is Verdict.KNOWN:
        return f"this repeats program {screen.nearest}, which {came_to}: no more than comments and layout differ; {asked}"
    return (
        f"this is too near to program {screen.nearest}, which {came_to}: but for the names of variables next to nothing differs; "
        f"{asked}. All that differs, from that program to this one:\n{_cut(unified(known.program.files, child, context=0))}"
    )


def _cut(difference: str) -> str:
    lines = difference.splitlines(keepends=True)
    shown = "".join(lines[:_MOST_LINES])
    if len(lines) <= _MOST_LINES and len(shown) <= _MOST_CHARS:
        return shown
    shown = shown[:_MOST_CHARS]
    return f"{shown[: shown.rfind(chr(10)) + 1] or shown}(and more)\n"
