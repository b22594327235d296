"""What a reply holds before its notation is read: reasoning, fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evolve.notation.lines import Lines
from evolve.notation.refusal import EditRefused

_REASONING = re.compile(r"\s*<(think|thinking|reasoning)>")
#: Some servers cut the opening tag away and leave the closing one on a line of its own.
_REASONED = re.compile(r"^[ \t]*</(think|thinking|reasoning)>[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})(.*)")
#: A fence that stands further in than its opening one belongs to the text inside (as in CommonMark).
_INDENT = 3


@dataclass(frozen=True, slots=True)
class Fenced:
    """A fenced block of a reply.

    Attributes:
        content: Its lines, without the indentation of the fence.
        info: What stands behind the opening fence.
        above: The last line before it that says something and is no fence; empty when there is none.
        line: Where its opening fence stands, counted from 1.
    """

    content: tuple[str, ...]
    info: str
    above: str
    line: int


class Fence(NamedTuple):
    """A line of backticks or tildes, and what stands behind them."""

    indent: int
    marks: str
    info: str


def answer(reply: str) -> str:
    """Leaves out the reasoning that some models write between tags before their answer; its lines stay, blank.

    Raises:
        EditRefused: If the reasoning does not end.
    """
    opened = _REASONING.match(reply)
    if opened is None:
        closed = _REASONED.search(reply)
        return reply if closed is None else _blanked(reply, closed.end())
    end = reply.find(f"</{opened[1]}>")
    if end < 0:
        raise EditRefused("the reply was cut off within its reasoning. Reason more briefly and write the whole answer")
    return _blanked(reply, end + len(opened[1]) + 3)


def _blanked(reply: str, end: int) -> str:
    # Lines of a reply are named by their numbers.
    return "\n" * len(Lines.of(reply[:end]).content[:-1]) + reply[end:]


def fence(line: str) -> Fence | None:
    """Reads a line as a fence; None when it is none. Behind backticks no backtick may stand: that is code in prose."""
    found = _FENCE.match(line)
    if found is None or ("`" in found[3] and found[2][0] == "`"):
        return None
    return Fence(len(found[1]), found[2], found[3].strip())


def fenced_blocks(content: Sequence[str]) -> list[Fenced]:
    """Reads the fenced blocks of a reply, in its order.

    A block ends at the first bare fence of its own kind that is at least as long and not indented by more than three columns.
    A fence with a word behind it inside a block opens a block within, whose end is not that of the outer one.

    Args:
        content: The reply's lines without their ends.

    Raises:
        EditRefused: If a block has no end.
    """
    blocks: list[Fenced] = []
    above = ""
    at = 0
    while at < len(content):
        opening = fence(content[at])
        if opening is None:
            above = content[at] if content[at].strip() else above
        else:
            end = _end(content, at, opening)
            inside = tuple(_outdented(line, opening.indent) for line in content[at + 1 : end])
            blocks.append(Fenced(inside, opening.info, above, at + 1))
            above, at = "", end
        at += 1
    return blocks


def _end(content: Sequence[str], start: int, opening: Fence) -> int:
    depth = 1
    for at in range(start + 1, len(content)):
        found = fence(content[at])
        if found is None or not found.marks.startswith(opening.marks) or found.indent > opening.indent + _INDENT:
            continue
        depth += 1 if found.info else -1
        if depth == 0:
            return at
    raise EditRefused(
        f"the reply was cut off: the fence that opens at its line {start + 1} is never closed. Write the answer again, whole, "
        f"and end it with {opening.marks}"
    )


def _outdented(line: str, indent: int) -> str:
    margin = len(line) - len(line.lstrip(" \t"))
    return line[min(indent, margin) :]
