"""Applies search/replace blocks: all or none, each where its lines stand exactly once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evolve.edits import mutable_regions
from evolve.notation.blocks import Block, Reading, read_blocks
from evolve.notation.closest import closest
from evolve.notation.elision import refuse_elision
from evolve.notation.indexed import Found, Indexed
from evolve.notation.lines import edited, kept
from evolve.notation.refusal import EditRefused, checked, listed
from evolve.program import Files


@dataclass(frozen=True, slots=True)
class Change:
    """What one block does at one place; lines count from 0.

    Attributes:
        block: The block's number.
        file: Where.
        first: The first line that the block's SEARCH holds.
        last: The one after its last.
        core_first: The first line that it changes.
        core_last: The one after the last; equal to ``core_first`` where it adds lines before that one.
        new: What takes their place.
    """

    block: int
    file: Indexed
    first: int
    last: int
    core_first: int
    core_last: int
    new: tuple[str, ...]

    def alters(self, other: Change) -> bool:
        """Whether it changes a line that another one holds, or adds lines between or where the other one does."""
        if self.core_first < self.core_last:
            return self.core_first < other.last and other.first < self.core_last
        return other.first < self.core_first < other.last or (self.core_first, self.core_last) == (
            other.core_first,
            other.core_last,
        )


class _Place(NamedTuple):
    file: Indexed
    found: Found

    @property
    def number(self) -> int:
        return self.found.first + 1


class _Placed(NamedTuple):
    reading: Reading
    places: list[_Place]


def apply_diff(reply: str, parent: Files) -> Files:
    """Applies the search/replace blocks of a reply to a program.

    A block's SEARCH is whole lines, found exactly once where the program may change; lines that a block leaves as they are
    may stand outside. As many identical blocks as there are places mean all of them; where there is one place, a block may
    be repeated. Every block is found in the parent's text, and all are applied at once, so that their order means nothing;
    no block may change what another one holds.

    In a program of several files a block is for the file named on the line before it, behind its fence or behind its marker.
    One without a name is for the only file that has its lines; where several have them, for the file named last.

    What loses nothing is forgiven: blanks at line ends, other line ends than the parent's (which stay), one indentation that
    the whole block is off by, line numbers copied with every line, fences around blocks or their halves.

    Args:
        reply: What a model answered, prose and reasoning around its blocks included.
        parent: The program to change.

    Returns:
        The child: other text than the parent's, within its mutable regions.

    Raises:
        EditRefused: If the reply does not say unambiguously what to change; nothing is applied then.
    """
    blocks = read_blocks(reply, parent)
    files = {path: Indexed.of(path, parent[path], regions) for path, regions in mutable_regions(parent).items()}
    changes = [change for alike in _alike(blocks) for change in _changes(alike, files)]
    by_file: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        by_file[change.file.path].append(change)
    child = dict(parent)
    for path, here in by_file.items():
        _refuse_overlaps(here)
        spans = [change.file.lines.replaced(change.core_first, change.core_last, change.new) for change in here]
        child[path] = edited(parent[path], files[path].lines, spans)
    return checked(parent, child)


def _alike(blocks: Sequence[Block]) -> list[list[Block]]:
    """Groups blocks that say the same of the same file."""
    groups: dict[tuple[str | None, tuple[str, ...]], list[Block]] = defaultdict(list)
    for block in blocks:
        groups[block.path or block.path_before, block.content].append(block)
    return list(groups.values())


def _changes(alike: Sequence[Block], files: Mapping[str, Indexed]) -> list[Change]:
    block = alike[0]
    literal = next(block.readings())
    if any(reading.search == reading.replace for reading in literal):
        return []
    if len(literal) == 1 and literal[0].empty:
        return [_filling(block, literal[0], files)]
    reading, places = _placed(block, files)
    places = _in_one_file(block, places)
    if len(places) not in (1, len(alike)):
        raise EditRefused(
            f"{_name(block)}: the SEARCH text stands {len(places)} times in {places[0].file.path}, at lines "
            f"{listed([place.number for place in places])}. Add lines around it, to SEARCH and REPLACE, until it fits one place"
        )
    return [_change(block, reading, place) for place in places]


def _placed(block: Block, files: Mapping[str, Indexed]) -> _Placed:
    """Finds the reading of a block whose lines are in the program, the most literal one, and where they may change."""
    where = list(files.values()) if block.path is None else [files[block.path]]
    for readings in block.readings():
        fitting = [_Placed(reading, places) for reading in readings if (places := _find(reading, where))]
        if fitting:
            # The longest: the beginning of a SEARCH that holds equals signs itself is in the program as well.
            reading, places = fitting[-1]
            free = [place for place in places if _may_change(reading, place)]
            if not free:
                raise EditRefused(_fixed(block, places[0], files))
            return _Placed(reading, free)
    raise EditRefused(_missing(block, where, files))


def _find(reading: Reading, files: Sequence[Indexed]) -> list[_Place]:
    if reading.empty:
        return []
    places = [_Place(file, found) for file in files for found in file.find(reading.search)]
    return [place for place in places if not place.found.shift] or places


def _may_change(reading: Reading, place: _Place) -> bool:
    same = kept(reading.search, reading.replace)
    first = place.found.first
    return place.file.may_change(first + same.before, first + len(reading.search) - same.after)


def _in_one_file(block: Block, places: list[_Place]) -> list[_Place]:
    paths = {place.file.path for place in places}
    if len(paths) == 1:
        return places
    if block.path_before in paths:
        return [place for place in places if place.file.path == block.path_before]
    where = " and ".join(f"{place.file.path} line {place.number}" for place in places[:10])
    raise EditRefused(
        f"{_name(block)}: the SEARCH text stands in several files: {where}. Write the file's path on the line before the block"
    )


def _change(block: Block, reading: Reading, place: _Place) -> Change:
    file, (first, shift) = place
    same = kept(reading.search, reading.replace)
    new = shift.applied(reading.replace[same.before : len(reading.replace) - same.after])
    if new is None:
        raise EditRefused(
            f"{_name(block)}: in {file.path} the SEARCH text is indented by {len(shift.removed)} columns less than in the block, "
            "and REPLACE has lines that are not indented as far. Indent both as in the program"
        )
    refuse_elision(new, file.where, f"{_name(block)}: REPLACE")
    last = first + len(reading.search)
    return Change(block.number, file, first, last, first + same.before, last - same.after, tuple(new))


def _filling(block: Block, reading: Reading, files: Mapping[str, Indexed]) -> Change:
    """Reads a block without SEARCH: it fills the one file or region that is blank."""
    where = list(files.values()) if block.path is None else [files[block.path]]
    blank = [(file, first, last) for file in where for first, last in file.free if not any(file.bare[first:last])]
    if len(blank) != 1:
        reason = f"and {len(blank)} places are" if blank else "and no place is"
        raise EditRefused(
            f"{_name(block)}: SEARCH is empty, {reason} empty. To add lines, copy the line before or after them into SEARCH, and "
            "write it with the new lines in REPLACE"
        )
    [(file, first, last)] = blank
    refuse_elision(reading.replace, (), f"{_name(block)}: REPLACE")
    return Change(block.number, file, first, last, first, last, reading.replace)


def _refuse_overlaps(changes: Sequence[Change]) -> None:
    ordered = sorted(changes, key=lambda change: change.first)
    for index, change in enumerate(ordered):
        for other in ordered[index + 1 :]:
            if other.first > change.last:
                break
            if change.alters(other) or other.alters(change):
                one, two = sorted((change, other), key=lambda change: change.block)
                raise EditRefused(
                    f"blocks {one.block} and {two.block} overlap in {one.file.path}: {_lines(one)} and {_lines(two)}. Every "
                    "SEARCH is looked for in the program as it was; join them, or keep one of them where they are alternatives"
                )


def _lines(change: Change) -> str:
    return f"lines {change.first + 1}-{change.last}" if change.last - change.first > 1 else f"line {change.first + 1}"


def _name(block: Block) -> str:
    return f"block {block.number} (line {block.line} of the reply)"


def _fixed(block: Block, place: _Place, files: Mapping[str, Indexed]) -> str:
    free = [f"{file.path} lines {first + 1}-{last}" for file in files.values() for first, last in file.free if first < last]
    return (
        f"{_name(block)} changes {place.file.path} at line {place.number}, which is fixed. What may change lies between "
        f"EVOLVE-BLOCK-START and EVOLVE-BLOCK-END: {', '.join(free) or 'empty blocks'}"
    )


def _missing(block: Block, where: Sequence[Indexed], files: Mapping[str, Indexed]) -> str:
    # The least literal one: fences and numbers would be what differs first.
    reading = [reading for readings in block.readings() for reading in readings if not reading.empty][-1]
    searched = ", ".join(file.path for file in where)
    elsewhere = [place for file in files.values() if file not in where for place in _find(reading, [file])]
    if elsewhere:
        places = " and ".join(f"{place.file.path} line {place.number}" for place in elsewhere[:10])
        return f"{_name(block)}: the SEARCH text is not in {searched} but in {places}. Name the right file before the block"
    return (
        f"{_name(block)}: the SEARCH text is not in {searched}. {closest(reading.search, where)} Copy whole lines exactly as "
        "they stand in the program, without leaving any out, and write the whole answer again"
    )
