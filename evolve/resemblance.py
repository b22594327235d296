"""Tells a model what its child repeats, so that the next one is something else."""

from __future__ import annotations

from evolve.archive.records import Judgement, Likeness, Screen, Verdict
from evolve.diffing import unified
from evolve.mutation import Scored
from evolve.program import Files

#: Of a difference; a near copy differs in a few lines, and those that it shares with its original need no telling.
_MOST_LINES = 40
_MOST_CHARS = 2000


def repeated(screen: Screen, known: Scored, child: Files, judgement: Judgement | None = None) -> str:
    """Says which known program a rejected child repeats, what that came to, and how little differs.

    Args:
        screen: What rejected the child.
        known: The program that it names, with its evaluation.
        child: The rejected source.
        judgement: What a judge said, if it was asked.

    Returns:
        Text for a complaint; whoever shows it puts it in a fence.
    """
    evaluation = known.evaluation
    came_to = f"ended as {evaluation.outcome}" if evaluation.objective is None else f"scored {evaluation.objective!r}"
    original = f"program {screen.nearest}, which {came_to}"
    asked = "make a change that the program's behaviour shows, and another one than this"
    if screen.verdict is Verdict.KNOWN:
        return f"this repeats {original}: no more than comments and layout differ; {asked}"
    if judgement is not None and judgement.found is Likeness.SAME:
        why = f" ({judgement.why})" if judgement.why else ""
        found = f"this does the same as {original}: so a model found that compared the two{why}"
    else:
        found = f"this is too near to {original}: but for the names of variables next to nothing differs"
    differs = _cut(unified(known.program.files, child, context=0))
    return f"{found}; {asked}. All that differs, from that program to this one:\n{differs}"


def _cut(difference: str) -> str:
    lines = difference.splitlines(keepends=True)
    shown = "".join(lines[:_MOST_LINES])
    if len(lines) <= _MOST_LINES and len(shown) <= _MOST_CHARS:
        return shown
    shown = shown[:_MOST_CHARS]
    return f"{shown[: shown.rfind(chr(10)) + 1] or shown}(and more)\n"
