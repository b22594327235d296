"""How near two programs may be before the second is a copy, found from what small edits of a task's own program do.

A literal that a local mutator tuned by a little is the smallest edit that there is a reason to make, and it must pass; a copy with
other names, comments or layout is the largest that there is none to make. The limit lies between what the two do to embeddings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evolve.edits import Region, check_edit, mutable_regions
from evolve.mutators.languages import comment
from evolve.mutators.numerals import Numbered, Numeral, rewritten, shortened
from evolve.mutators.script import numbered_files, spliced
from evolve.mutators.source import SourceCache
from evolve.mutators.statements import OPERATORS
from evolve.program import Files
from evolve.rng import generator

#: Where the limit lies between a copy, at 0, and the smallest edit. Low: a copy let through costs one evaluation, an edit held
#: back may be the one that was looked for, and the smallest edit of a program that has grown may be smaller than any tried here.
_MARGIN = 0.125
#: Edits tried: of numbers, and of statements by each operator.
_NUMBERS = 48
_TRIES = 4


class Calibration(NamedTuple):
    """What small edits do to a program's embedding.

    Attributes:
        edits: ``(n,)`` distances (see `evolve.archive.novelty.NoveltyConfig.min_distance`) of edits that may change what the
            program does, ascending.
        copy: The largest distance of a rewrite that changes nothing: comments, blank lines.
        min_distance: The limit; None where no edit could be made, or copies are not told from edits.
    """

    edits: tuple[float, ...]
    copy: float
    min_distance: float | None


class Probes(NamedTuple):
    """What a calibration looks at.

    Attributes:
        origin: The initial program.
        edits: What may change what it does, a little.
        copies: What changes nothing.
    """

    origin: Files
    edits: tuple[Files, ...]
    copies: tuple[Files, ...]

    @property
    def all(self) -> list[Files]:
        """All of them, in this order."""
        return [self.origin, *self.edits, *self.copies]


def probes(files: Files, seed: int) -> Probes:
    """Makes the programs that a calibration compares.

    Args:
        files: The initial program.
        seed: The run's; the same one gives the same programs.
    """
    return Probes(files, tuple(small_edits(files, generator(seed, 0, "calibrate"))), tuple(_copies(files)))


def calibrated(files: Files, embed: Callable[[Files], np.ndarray], seed: int) -> Calibration:
    """Finds the distance below which a child repeats a known program.

    Args:
        files: The initial program.
        embed: Makes the embedding that screening compares.
        seed: The run's; the same one gives the same limit.
    """
    tried = probes(files, seed)
    return limit_of(tried, [embed(probe) for probe in tried.all])


def limit_of(tried: Probes, embeddings: Sequence[np.ndarray]) -> Calibration:
    """Finds the distance below which a child repeats a known program, from embeddings that were made together.

    Args:
        tried: What was embedded.
        embeddings: ``(d,)`` each, of `Probes.all`.
    """
    origin, *others = embeddings
    n_edits = len(tried.edits)
    distances = sorted(distance(origin, edited) for edited in others[:n_edits])
    copy = max((distance(origin, rewrite) for rewrite in others[n_edits:]), default=0.0)
    if not distances:
        return Calibration((), copy, None)
    limit = copy + _MARGIN * (distances[0] - copy)
    return Calibration(tuple(distances), copy, limit if limit > 2 * max(copy, 0.0) and limit > 0 else None)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Returns ``(1 - cosine) * |a| * |b|`` of two embeddings, ``(d,)`` each."""
    return float(np.linalg.norm(one) * np.linalg.norm(other) - one @ other)


def small_edits(files: Files, rng: np.random.Generator) -> Iterator[Files]:
    """Yields copies of a program with one small change each that it may show: a number moved, a statement's operator applied.

    Args:
        files: The program.
        rng: The only source of chance.
    """
    yield from _number_edits(files, rng)
    cache = SourceCache()
    for source in cache.sources(files):
        for operator, _ in OPERATORS:
            for _ in range(_TRIES):
                tweak = operator(source, rng)
                if tweak is not None:
                    yield from _applied(files, functools.partial(spliced, files, {source.path: tweak.spans}))


def _number_edits(files: Files, rng: np.random.Generator) -> Iterator[Files]:
    found = [(source, numeral) for source in numbered_files(files, SourceCache()) for numeral in source.numerals]
    chosen = range(len(found)) if len(found) <= _NUMBERS else sorted(rng.choice(len(found), _NUMBERS, replace=False).tolist())
    for index in chosen:
        source, numeral = found[index]
        for value in (_moved(numeral), _other(numeral, found)):
            if value != numeral.value:
                span = rewritten(source, numeral, value)
                yield from _applied(files, functools.partial(spliced, files, {source.path: [span]}))


def _moved(numeral: Numeral) -> int | float:
    value = numeral.value
    return value + 1 if isinstance(value, int) else shortened(value * 1.01 or 0.01, 6)


def _other(numeral: Numeral, found: list[tuple[Numbered, Numeral]]) -> int | float:
    """Returns the value of another number of the program: what is written elsewhere moves an embedding the least."""
    values = (other.value for _, other in found if type(other.value) is type(numeral.value))
    return next((value for value in values if value != numeral.value), numeral.value)


def _applied(files: Files, make: Callable[[], Files]) -> Iterator[Files]:
    try:
        edited = make()
        check_edit(files, edited)
    except ValueError:
        return
    if edited != files:
        yield edited


def _copies(files: Files) -> Iterator[Files]:
    """Yields copies of a program that differ in comments and blank lines only."""
    for path, regions in mutable_regions(files).items():
        line = comment(path, "a note")
        for region in regions if line else ():
            yield {**files, path: _with_line(files[path], region, line)}
            yield {**files, path: _with_line(files[path], region, "")}


def _with_line(text: str, region: Region, line: str) -> str:
    return f"{text[: region.start]}{line}\n{text[region.start :]}"
