"""What is said about a reply that makes no program, and the checks that every child passes."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.edits import check_edit
from evolve.program import Files

#: Longest line, and most lines, that a refusal quotes: it goes into the next prompt.
_WIDTH = 160
_HEIGHT = 24


class EditRefused(ValueError):
    """A reply cannot be applied. The message tells a model what is wrong, where, and what to do."""


def checked(parent: Files, child: Files) -> Files:
    """Returns the child if it is one.

    Raises:
        EditRefused: If it equals its parent or differs from it outside the mutable regions.
    """
    try:
        check_edit(parent, child)
    except ValueError as error:
        raise EditRefused(str(error)) from error
    if dict(child) == dict(parent):
        raise EditRefused("the reply changes nothing: the program would stay as it is. Change at least one line")
    return child


def shortened(line: str) -> str:
    """Quotes a line as Python would, cut where it is too long for a prompt."""
    return repr(line if len(line) <= _WIDTH else f"{line[:_WIDTH]}...")


def numbered(content: Sequence[str], first: int) -> str:
    """Writes lines below one another with their numbers; the middle of many is left out.

    Args:
        content: The lines without their ends.
        first: The number of the first one.
    """
    rows = [f"{number}| {line[:_WIDTH]}" for number, line in enumerate(content, first)]
    if len(rows) > _HEIGHT:
        half = _HEIGHT // 2
        rows = [*rows[:half], f"({len(rows) - 2 * half} more lines)", *rows[-half:]]
    return "\n".join(rows)


def listed(numbers: Sequence[int]) -> str:
    """Writes line numbers down; of many the first ten."""
    named = ", ".join(str(number) for number in numbers[:10])
    rest = len(numbers) - 10
    return named if rest <= 0 else f"{named} and {rest} more"
