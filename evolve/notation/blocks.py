"""Reads the search/replace blocks of a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evolve.notation.lines import Lines
from evolve.notation.paths import named_by_fence, named_by_line
from evolve.notation.refusal import EditRefused
from evolve.notation.replies import answer, fence
from evolve.program import Files

_SEARCH = re.compile(r"[ \t]*<{5,9}[ \t]*SEARCH\b(.*)")
_DIVIDER = re.compile(r"[ \t]*={5,9}[ \t]*")
_REPLACE = re.compile(r"[ \t]*>{5,9}[ \t]*REPLACE\b")
_UNIFIED = re.compile(r"^(?:@@ .*@@|--- \S.*\r?\n\+\+\+ \S)", re.MULTILINE)
#: What lines begin with that were copied from a listing with numbers, as refusals quote them: `12| `.
_NUMBER = re.compile(r"[ \t]*\d+[ \t]*[|\u2502] ?")
_MOST_DIVIDERS = 20

ADVICE = (
    "Answer with blocks of this form, SEARCH being whole lines copied from the program:\n"
    "<<<<<<< SEARCH\n(lines as they are)\n=======\n(lines as they shall be)\n>>>>>>> REPLACE"
)


class Reading(NamedTuple):
    """What a block may mean: these lines become those."""

    search: tuple[str, ...]
    replace: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is searched for."""
        return not any(line.strip() for line in self.search)


@dataclass(frozen=True, slots=True)
class Block:
    """A search/replace block.

    Attributes:
        number: Which block of the reply it is, from 1.
        line: Where it begins, counted from 1.
        path: The file named for it; None when none is.
        path_before: The file named last before it, by or for an earlier block.
        content: Its lines between the outer markers.
        dividers: Which of them may be the one that divides it: files may hold lines of equals signs as well.
    """

    number: int
    line: int
    path: str | None
    path_before: str | None
    content: tuple[str, ...]
    dividers: tuple[int, ...]

    def readings(self) -> Iterator[list[Reading]]:
        """Yields what it may mean, the most literal first; those of one list are equally literal.

        As it stands; without fences around both halves; without line numbers before every line.
        """
        literal = [Reading(self.content[:at], self.content[at + 1 :]) for at in self.dividers]
        yield literal
        for form in (_unfenced, _unnumbered):
            yield [other for reading in literal if (other := form(reading)) is not None]


def read_blocks(reply: str, files: Files) -> list[Block]:
    """Reads every search/replace block of a reply.

    Raises:
        EditRefused: If there is none, or one is cut off or broken, or a file is named that the program does not have.
    """
    text = answer(reply)
    content = Lines.of(text).content
    blocks: list[Block] = []
    before: str | None = None
    start, reached = None, 0
    for at, line in enumerate(content):
        if _SEARCH.match(line):
            if start is not None:
                raise EditRefused(f"{_place(len(blocks), start)} has no >>>>>>> REPLACE before the next block begins. {ADVICE}")
            start = at
        elif _REPLACE.match(line):
            if start is None:
                raise EditRefused(f"line {at + 1} of the reply ends a block that never began. {ADVICE}")
            # Prompts show a program of one file without its name: a name that a model makes up for it means nothing.
            path = _path(content[reached:start], content[start], files) if len(files) > 1 else None
            blocks.append(_block(len(blocks), start, content[start + 1 : at], path, before))
            before = path or before
            start, reached = None, at + 1
    if start is not None:
        raise EditRefused(
            f"the reply was cut off: {_place(len(blocks), start)} has no >>>>>>> REPLACE. Write the answer again, whole; "
            "fewer or smaller blocks fit more easily"
        )
    if not blocks:
        raise EditRefused(_nothing(text, content))
    return blocks


def _block(index: int, start: int, content: Sequence[str], path: str | None, before: str | None) -> Block:
    dividers = tuple(at for at, line in enumerate(content) if _DIVIDER.fullmatch(line))
    if not dividers:
        raise EditRefused(f"{_place(index, start)} has no line ======= between SEARCH and REPLACE. {ADVICE}")
    if len(dividers) > _MOST_DIVIDERS:
        raise EditRefused(f"{_place(index, start)} holds {len(dividers)} lines of equals signs; only one divides it. {ADVICE}")
    return Block(index + 1, start + 1, path, before, tuple(content), dividers)


def _place(index: int, start: int) -> str:
    return f"block {index + 1} (line {start + 1} of the reply)"


def _path(between: Sequence[str], marker: str, files: Files) -> str | None:
    """Finds the file named for a block: behind its marker, behind the fence that opens above it, or by the line above."""
    found = _SEARCH.match(marker)
    behind = named_by_fence(found[1], files) if found is not None else None
    for line in reversed(between):
        if behind is not None or not line.strip():
            continue
        opening = fence(line)
        if opening is None:
            return named_by_line(line, files)
        behind = named_by_fence(opening.info, files)
    return behind


def _nothing(text: str, content: Sequence[str]) -> str:
    if _UNIFIED.search(text):
        return f"the reply is a unified diff, whose line numbers cannot be relied on. {ADVICE}"
    if any(fence(line) is not None for line in content):
        return f"the reply has fenced text but no SEARCH/REPLACE block. {ADVICE}"
    return f"the reply has no SEARCH/REPLACE block. {ADVICE}"


def _unfenced(reading: Reading) -> Reading | None:
    search, replace = _inside_fence(reading.search), _inside_fence(reading.replace)
    return Reading(search, replace) if search is not None and replace is not None else None


def _inside_fence(content: tuple[str, ...]) -> tuple[str, ...] | None:
    if not content:
        return content
    opening, closing = fence(content[0]), fence(content[-1])
    if len(content) < 2 or opening is None or closing is None or closing.info:
        return None
    return content[1:-1]


def _unnumbered(reading: Reading) -> Reading | None:
    search = [_NUMBER.match(line) for line in reading.search]
    replace = [_NUMBER.match(line) for line in reading.replace]
    if not all(search) or (any(replace) and not all(replace)):
        return None
    if not any(replace):
        return Reading(_behind(search), reading.replace)
    return Reading(_behind(search), _behind(replace))


def _behind(found: Sequence[re.Match[str] | None]) -> tuple[str, ...]:
    return tuple(number.string[number.end() :] for number in found if number is not None)
