"""What of a program may change, and the check that nothing else did.

Lines that hold ``EVOLVE-BLOCK-START`` or ``EVOLVE-BLOCK-END`` in a comment of any language delimit the text that may change;
a file may have several such blocks, side by side. Where no file of a program has any, every file may change whole. Where
one has, files without are fixed text.

The check is mechanical: the text outside the regions, marker lines among it, must be the same in parent and child.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from evolve.program import Files

# Punctuation alone may stand before the word: `#`, `//`, `/*`, `--`, `%`, `;`, `<!--`, `!`, `# ----`. A quote may not, or a
# string that mentions the marker would count as one. `START/END` is prose.
_MARKER = re.compile(r"[ \t]*(?=[^\w\s])[^\w\r\n'\"`]*EVOLVE-BLOCK-(START|END)(?![\w/])(?!-\w)")
# Behind code on the same line, where it would silently mean nothing.
_BEHIND_CODE = re.compile(r"\w.*\s(?:#|//|/\*|--|%|;|<!--|!)\s*EVOLVE-BLOCK-(?:START|END)\W*$")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_KEEP = "Leave every EVOLVE-BLOCK-START and EVOLVE-BLOCK-END line, and all text outside the blocks, as in the parent."


class Region(NamedTuple):
    """Text that may change, as character offsets: from just after the start line to just before the end line."""

    start: int
    end: int


class Span(NamedTuple):
    """A replacement: the characters from ``start`` up to ``end`` become ``text``; an insertion has them equal."""

    start: int
    end: int
    text: str


def lines(text: str) -> Iterator[re.Match[str]]:
    r"""Yields the lines of a text with their ends: ``\n``, ``\r\n`` or ``\r``, as Python's own tokenizer counts them."""
    return _LINE.finditer(text)


def mutable_regions(files: Files) -> Mapping[str, tuple[Region, ...]]:
    """Finds what may change in each file.

    Raises:
        ValueError: If the markers of a file are nested or unbalanced; the message names file and line.
    """
    marked = _marked(files)
    if any(marked.values()):
        return marked
    return {path: (Region(0, len(text)),) for path, text in files.items()}


def _marked(files: Files) -> dict[str, tuple[Region, ...]]:
    return {path: _marked_regions(path, text) for path, text in files.items()}


def _marked_regions(path: str, text: str) -> tuple[Region, ...]:
    regions: list[Region] = []
    opened: Region | None = None  # the start marker's line
    for line in _mentions(text):
        marker = _MARKER.match(text, line.start)
        if marker is None:
            if _BEHIND_CODE.search(text[line.start : line.end]):
                raise ValueError(f"{_place(path, text, line)}: an EVOLVE-BLOCK marker must stand on a line of its own")
        elif marker[1] == "START":
            if opened is not None:
                raise ValueError(
                    f"{_place(path, text, line)}: EVOLVE-BLOCK-START inside the block that starts at line "
                    f"{_number(text, opened)}; blocks do not nest: end the first one before"
                )
            opened = line
        elif opened is None:
            raise ValueError(f"{_place(path, text, line)}: EVOLVE-BLOCK-END without an EVOLVE-BLOCK-START before it")
        else:
            regions.append(Region(opened.end, line.start))
            opened = None
    if opened is not None:
        raise ValueError(f"{_place(path, text, opened)}: EVOLVE-BLOCK-START has no EVOLVE-BLOCK-END; add one below the block")
    return tuple(regions)


def _mentions(text: str) -> Iterator[Region]:
    """Yields the lines that mention a marker, with their ends."""
    at = text.find("EVOLVE-BLOCK-")
    while at >= 0:
        start = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
        line = _LINE.match(text, start)
        end = line.end() if line is not None else len(text)
        yield Region(start, end)
        at = text.find("EVOLVE-BLOCK-", end)


def _number(text: str, line: Region) -> int:
    return sum(1 for _ in lines(text[: line.start])) + 1


def _place(path: str, text: str, line: Region) -> str:
    return f"{path} line {_number(text, line)}"


def check_edit(parent: Files, child: Files) -> None:
    """Checks that a child differs from its parent inside the mutable regions only.

    Args:
        parent: The source that was edited.
        child: What came of it.

    Raises:
        ValueError: If files were added or removed, markers moved, or fixed text changed. The message names the file and the
            first line that differs, and says what to do.
    """
    for path in sorted(set(parent) ^ set(child)):
        verb = "adds" if path in child else "removes"
        raise ValueError(f"the edit {verb} the file {path!r}; change the text of {', '.join(sorted(parent))} only")
    before = _marked(parent)
    try:
        after = _marked(child)
    except ValueError as error:
        raise ValueError(f"the edit breaks the EVOLVE-BLOCK markers: {error}. {_KEEP}") from error
    if not any(before.values()) and not any(after.values()):
        return
    for path in sorted(parent):
        if len(before[path]) != len(after[path]):
            counts = f"the parent marks {len(before[path])} blocks that may change, the edit leaves {len(after[path])}"
            raise ValueError(f"{path}: {counts}. {_KEEP}")
        old, new = _fixed(parent[path], before[path]), _fixed(child[path], after[path])
        if old != new:
            raise ValueError(f"{path}, {_difference(old, new)}. {_KEEP}")


def _fixed(text: str, regions: Sequence[Region]) -> list[str]:
    """Lists the text before, between and after the regions."""
    starts = [0, *(region.end for region in regions)]
    ends = [*(region.start for region in regions), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def _difference(old: Sequence[str], new: Sequence[str]) -> str:
    """Says where fixed text differs first."""
    number = next(index for index, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])
    pairs = zip_longest((line[0] for line in lines(old[number])), (line[0] for line in lines(new[number])))
    was, now = next(pair for pair in pairs if pair[0] != pair[1])
    where = "before the first block" if number == 0 else f"after block {number}"
    found = "is missing" if now is None else f"reads {now!r}"
    wanted = "has nothing" if was is None else f"reads {was!r}"
    return f"{where}: a line {found} where the parent {wanted}"


def splice(text: str, replacements: Sequence[Span]) -> str:
    """Replaces spans of a text; insertions at the same place follow one another in the order given.

    Raises:
        ValueError: If a span lies outside the text or two overlap.
    """
    pieces: list[str] = []
    reached = 0
    for span in sorted(replacements, key=lambda span: (span.start, span.end)):
        if not reached <= span.start <= span.end <= len(text):
            raise ValueError(
                f"the span {span.start}..{span.end} overlaps another one or lies outside the text of {len(text)} characters"
            )
        pieces += (text[reached : span.start], span.text)
        reached = span.end
    return "".join([*pieces, text[reached:]])


def mutable_text(files: Files) -> dict[str, str]:
    """Returns the text of each file that may change, its regions joined; files without any are left out."""
    return {
        path: "".join(files[path][region.start : region.end] for region in regions)
        for path, regions in mutable_regions(files).items()
        if regions
    }
