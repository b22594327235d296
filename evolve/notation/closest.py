"""What of a program comes closest to lines that are not in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from evolve.notation.indexed import Indexed
from evolve.notation.lines import trimmed
from evolve.notation.refusal import numbered, shortened

_TOKEN = re.compile(r"\w+|[^\w\s]+")
#: Bounds of the work: lines looked for, and places that one token may speak for. A token in more places says little.
_LINES = 60
_PLACES = 40


class _Place(NamedTuple):
    file: Indexed
    first: int
    weight: float


def closest(search: Sequence[str], files: Sequence[Indexed]) -> str:
    """Quotes the place that shares most with lines, and says where it differs first; rare tokens weigh most.

    Every token of a line looked for votes for the places where that line would have to begin. Linear in the files' size.

    Args:
        search: Lines that stand nowhere in the files.
        files: Where to look.
    """
    places = [place for file in files if (place := _closest_in(search, file)) is not None]
    if not places:
        return "Nothing in the program resembles it."
    place = max(places, key=lambda place: place.weight)
    first, last = max(place.first, 0), min(place.first + len(search), len(place.file.lines.content))
    quoted = numbered(place.file.lines.content[first:last], first + 1)
    where = f"lines {first + 1}-{last}" if last - first > 1 else f"line {first + 1}"
    return f"Closest is {place.file.path} {where}:\n{quoted}\n{_difference(search, place)}"


def _closest_in(search: Sequence[str], file: Indexed) -> _Place | None:
    where: dict[str, list[int]] = {}
    for line, numbers in file.where.items():
        for token in set(_TOKEN.findall(line[:500])):
            where.setdefault(token, []).extend(numbers)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(search[:_LINES]):
        for token in set(_TOKEN.findall(line[:500])):
            numbers = where.get(token, [])
            if len(numbers) <= _PLACES:
                for number in numbers:
                    votes[number - offset] += 1000 // len(numbers)
    # Ties go to the first place, whatever the order of a set.
    first = min(votes, key=lambda first: (-votes[first], first), default=None)
    return None if first is None else _Place(file, first, votes[first])


def _difference(search: Sequence[str], place: _Place) -> str:
    content = place.file.lines.content
    pairs = ((offset, place.first + offset) for offset in range(len(search)))
    offset, at = next(
        (offset, at) for offset, at in pairs if not 0 <= at < len(content) or trimmed(search[offset]) != trimmed(content[at])
    )
    differs = f"It differs first in SEARCH line {offset + 1}, {shortened(search[offset])}"
    if not 0 <= at < len(content):
        return f"{differs}, which lies beyond the file."
    return f"{differs}, where line {at + 1} is {shortened(content[at])}."
