"""Writes what differs between two sources as a unified diff that ``git apply`` and ``patch`` take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal

from evolve.program import Files

_Opcode = tuple[Literal["replace", "delete", "insert", "equal"], int, int, int, int]
#: A line that occurs more often is no landmark: with blank lines among them, comparing two files of 190 lines that have little
#: else in common takes 12 ms, and a prompt shows ten differences.
_MOST_OCCURRENCES = 8


def unified(before: Files, after: Files, *, context: int = 3) -> str:
    """Returns the difference of two sources, file by file; empty when there is none.

    Args:
        before: The older source.
        after: The newer source.
        context: Unchanged lines around each change.
    """
    return "".join(line for path in sorted({*before, *after}) for line in _file(path, before.get(path), after.get(path), context))


def _file(path: str, before: str | None, after: str | None, context: int) -> Iterator[str]:
    # A difference that is asked for is mostly of two files that are the same.
    if before == after:
        return
    old, new = (before or "").splitlines(True), (after or "").splitlines(True)
    for number, group in enumerate(_Comparison(old, new).get_grouped_opcodes(context)):
        if number == 0:
            yield f"--- {'/dev/null' if before is None else f'a/{path}'}\n"
            yield f"+++ {'/dev/null' if after is None else f'b/{path}'}\n"
        (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = group[0], group[-1]
        yield f"@@ -{_range(old_start, old_end)} +{_range(new_start, new_end)} @@\n"
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from _signed(" ", old[i1:i2])
                continue
            yield from _signed("-", old[i1:i2])
            yield from _signed("+", new[j1:j2])


def gist(diff: str) -> str:
    """Says in a line what a unified difference changes: the first lines that it takes out and puts in; empty for no difference."""
    removed = added = ""
    for line in diff.splitlines():
        if line.startswith(("--- ", "+++ ", "@@ ")):
            # What one place changes is one thought; later places follow from it.
            if removed or added:
                break
        elif line.startswith("-"):
            removed = removed or line[1:].strip()
        elif line.startswith("+"):
            added = added or line[1:].strip()
    if removed and added:
        return f"{removed} -> {added}"
    return f"adds {added}" if added else f"drops {removed}" if removed else ""


class _Comparison(SequenceMatcher[str]):
    """Compares two files of which mostly all but a few lines in the middle are the same: only those are searched."""

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        shorter = min(len(old), len(new))
        self._head = next((number for number in range(shorter) if old[number] != new[number]), shorter)
        rest = shorter - self._head
        self._tail = next((number for number in range(rest) if old[-1 - number] != new[-1 - number]), rest)
        self._ends = len(old) - self._tail, len(new) - self._tail
        middle = new[self._head : self._ends[1]]
        often = {line for line, count in Counter(middle).items() if count > _MOST_OCCURRENCES}
        super().__init__(often.__contains__, old[self._head : self._ends[0]], middle, autojunk=False)

    def get_opcodes(self) -> list[_Opcode]:
        """Lists how the first file becomes the second, the ends that they share included."""
        head, tail, (old, new) = self._head, self._tail, self._ends
        same: list[_Opcode] = [("equal", 0, head, 0, head)] if head else []
        middle: list[_Opcode] = [(tag, i1 + head, i2 + head, j1 + head, j2 + head) for tag, i1, i2, j1, j2 in super().get_opcodes()]
        same_again: list[_Opcode] = [("equal", old, old + tail, new, new + tail)] if tail else []
        return [*same, *middle, *same_again]


def _range(start: int, end: int) -> str:
    """Writes which lines a hunk is about, as the format has it: an empty range names the line before it."""
    length = end - start
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"


def _signed(sign: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        # A last line without its newline must say so, or the next file's header would be glued to it.
        yield f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"
