"""Finds lines in a file, quickly: a reply may hold many blocks, and a file thousands of lines."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evolve.edits import Region
from evolve.notation.lines import BLANKS, Lines, trimmed


class Shift(NamedTuple):
    """By which indentation a whole block is off: one of them is empty."""

    added: str
    removed: str

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.added or self.removed)

    def applied(self, content: Sequence[str]) -> list[str] | None:
        """Shifts lines; None when one is not indented far enough. Blank lines stay as they are."""
        if any(line.strip(BLANKS) and not line.startswith(self.removed) for line in content):
            return None
        return [self.added + line[len(self.removed) :] if line.strip(BLANKS) else line for line in content]


class Found(NamedTuple):
    """Where lines were found: the first line, counted from 0, and what they are shifted by."""

    first: int
    shift: Shift


class Stretch(NamedTuple):
    """Lines that may change, from ``first`` up to ``last``, counted from 0."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Indexed:
    """A file made ready for finding lines in it.

    Attributes:
        path: Its name.
        lines: Its lines.
        free: Where it may change.
        right: Its lines without what trails.
        bare: Its lines without blanks on either side.
        where: The numbers of the lines that read alike but for blanks.
    """

    path: str
    lines: Lines
    free: tuple[Stretch, ...]
    right: list[str]
    bare: list[str]
    where: dict[str, list[int]]

    @classmethod
    def of(cls, path: str, text: str, regions: Sequence[Region]) -> Indexed:
        """Indexes a file."""
        lines = Lines.of(text)
        free = tuple(Stretch(bisect_left(lines.starts, start), bisect_left(lines.starts, end)) for start, end in regions)
        bare = [line.strip(BLANKS) for line in lines.content]
        where: dict[str, list[int]] = {}
        for number, line in enumerate(bare):
            where.setdefault(line, []).append(number)
        return cls(path, lines, free, [trimmed(line) for line in lines.content], bare, where)

    def find(self, search: Sequence[str]) -> list[Found]:
        """Finds every place where lines stand, overlapping ones among them.

        Trailing blanks do not count. Where the lines stand nowhere as they are, they are looked for with one indentation
        added to, or removed from, all of them.

        Args:
            search: Lines of which at least one is not blank.
        """
        bare = [line.strip(BLANKS) for line in search]
        count = len(bare)
        # The rarest line leads to the fewest places; whole lists are compared there, which costs next to nothing.
        anchor = min((at for at in range(count) if bare[at]), key=lambda at: len(self.where.get(bare[at], ())))
        starts = [number - anchor for number in self.where.get(bare[anchor], ())]
        alike = [first for first in starts if first >= 0 and self.bare[first : first + count] == bare]
        right = [trimmed(line) for line in search]
        exact = [Found(first, Shift("", "")) for first in alike if self.right[first : first + count] == right]
        return exact or list(self._shifted(right, anchor, alike))

    def _shifted(self, search: list[str], anchor: int, alike: Sequence[int]) -> Iterator[Found]:
        known: dict[Shift, list[str] | None] = {}
        for first in alike:
            shift = _shift(_margin(self.right[first + anchor]), _margin(search[anchor]))
            if shift is None:
                continue
            if shift not in known:
                known[shift] = shift.applied(search)
            if self.right[first : first + len(search)] == known[shift]:
                yield Found(first, shift)

    def may_change(self, first: int, last: int) -> bool:
        """Whether lines from ``first`` up to ``last`` may change; with both equal, whether lines may be put before it."""
        return any(stretch.first <= first and last <= stretch.last for stretch in self.free)


def _margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip(BLANKS))]


def _shift(wanted: str, given: str) -> Shift | None:
    if wanted.endswith(given):
        return Shift(wanted[: len(wanted) - len(given)], "")
    if given.endswith(wanted):
        return Shift("", given[: len(given) - len(wanted)])
    return None
