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
    marked = {path: _marked_regions(path, text) for path, text in files.items()}
    if any(marked.values()):
        return marked
    return {path: (Region(0, len(text)),) for path, text in files.items()}


def _marked_regions(path: str, text: str) -> tuple[Region, ...]:
    if "EVOLVE-BLOCK-" not in text:
        return ()
    regions: list[Region] = []
    opened: tuple[int, int] | None = None  # line number of the start marker, offset just after it
    for number, line in enumerate(lines(text), start=1):
        marker = _MARKER.match(line[0])
        if marker is None:
            if _BEHIND_CODE.search(line[0]):
                raise ValueError(f"{path} line {number}: an EVOLVE-BLOCK marker must stand on a line of its own")
        elif marker[1] == "START":
            if opened is not None:
                raise ValueError(
                    f"{path} line {number}: EVOLVE-BLOCK-START inside the block that starts at line {opened[0]}; "
                    "blocks do not nest: end the first one before"
                )
            opened = (number, line.end())
        elif opened is None:
            raise ValueError(f"{path} line {number}: EVOLVE-BLOCK-END without an EVOLVE-BLOCK-START before it")
        else:
            regions.append(Region(opened[1], line.start()))
            opened = None
    if opened is not None:
        raise ValueError(f"{path} line {opened[0]}: EVOLVE-BLOCK-START has no EVOLVE-BLOCK-END; add one below the block")
    return tuple(regions)


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
    before = mutable_regions(parent)
    try:
        after = mutable_regions(child)
    except ValueError as error:
        raise ValueError(f"the edit breaks the EVOLVE-BLOCK markers: {error}. {_KEEP}") from error
    for path in sorted(parent):
        old, new = _fixed(parent[path], before[path]), _fixed(child[path], after[path])
        if old != new:
            raise ValueError(f"{path}{_difference(old, new)}. {_KEEP}")


def _fixed(text: str, regions: Sequence[Region]) -> list[tuple[int, str]]:
    """Lists the text before, between and after the regions, each piece with the regions before it counted."""
    pieces = []
    start = 0
    for number, region in enumerate(regions):
        pieces.append((number, text[start : region.start]))
        start = region.end
    return [*pieces, (len(regions), text[start:])]


def _difference(old: Sequence[tuple[int, str]], new: Sequence[tuple[int, str]]) -> str:
    """Says where fixed text differs first, to stand behind the file's name."""
    if len(old) != len(new):
        return f": the parent has {len(old) - 1} blocks that may change, the edit leaves {len(new) - 1}"
    number, before, after = next((a[0], a[1], b[1]) for a, b in zip(old, new, strict=True) if a[1] != b[1])
    was, now = next((a, b) for a, b in zip_longest((m[0] for m in lines(before)), (m[0] for m in lines(after))) if a != b)
    where = "before the first block" if number == 0 else f"after block {number}"
    found = "is missing" if now is None else f"reads {now!r}"
    wanted = "has nothing" if was is None else f"reads {was!r}"
    return f", {where}: a line {found} where the parent {wanted}"


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
