"""Recombination: functions, statements or numbers of an inspiration put into the parent.

Functions are matched by qualified name and bodies aligned statement by statement, so that what is exchanged plays the same
part in both programs (homologous crossover: Langdon 2000, "Size fair and homologous tree genetic programming crossovers").
Programs that differ in their numbers only, in whatever language, are crossed as vectors: uniform crossover, or BLX-alpha
(Eshelman & Schaffer 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from evolve.edits import Span
from evolve.mutation import MutationFailed, MutationRequest
from evolve.mutators.alignment import Hunk, function_swaps, hunks
from evolve.mutators.expressions import pick
from evolve.mutators.literals import Vector, matching
from evolve.mutators.numerals import Numbered, digits_for, shortened
from evolve.mutators.script import Change, apply_reply, first_sound, numbered_sources, reply_to, spliced
from evolve.mutators.source import SourceCache
from evolve.program import Files, Program, Reply


@dataclass(frozen=True, slots=True)
class RecombinationConfig:
    """How two programs are mixed.

    Attributes:
        alpha: How far beyond the parents' interval BLX-alpha may draw, in intervals.
        function_rate: Probability of taking whole functions, where the programs have some in common that differ.
        attempts: Proposals with one inspiration before turning to the next.
    """

    alpha: float = 0.3
    function_rate: float = 0.4
    attempts: int = 12

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise ValueError(f"alpha must be >= 0, got {self.alpha}")
        if not 0 <= self.function_rate <= 1:
            raise ValueError(f"function_rate must lie in [0, 1], got {self.function_rate}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be >= 1, got {self.attempts}")


@dataclass(frozen=True, slots=True)
class _Pair:
    """A parent and a donor, with what each attempt would otherwise work out again.

    Attributes:
        donor: The program that source is taken from.
        vectors: The numbers of both, where they differ in those only.
        functions: Whole functions that could be taken.
        pieces: Runs of statements that could be taken.
    """

    donor: Program
    vectors: tuple[Vector, Vector] | None
    functions: tuple[Hunk, ...]
    pieces: tuple[Hunk, ...]


class Recombination:
    """The mutator ``local/recombine``."""

    name = "local/recombine"

    def __init__(self, config: RecombinationConfig | None = None, cache: SourceCache | None = None) -> None:
        self._config = config or RecombinationConfig()
        self._cache = cache or SourceCache()

    async def generate(self, request: MutationRequest, rng: np.random.Generator) -> Reply:
        parent = request.parent.program
        sources = numbered_sources(parent, self._cache)
        donors = [scored.program for scored in request.inspirations if scored.program.files != parent.files]
        if not donors:
            raise MutationFailed("recombination needs an inspiration whose source differs from the parent's; there is none")
        # Every donor once, in random order: the first with something to give decides.
        for index in rng.permutation(len(donors)).tolist():
            pair = self._pair(parent, sources, donors[index])
            if pair.vectors or pair.functions or pair.pieces:
                with suppress(MutationFailed):
                    return reply_to(self._child(parent, pair, rng))
        raise MutationFailed("no inspiration has anything to give that the parent lacks and that would not only copy it")

    def apply(self, reply: Reply, parent: Program) -> Files:
        return apply_reply(reply, parent)

    def _pair(self, parent: Program, sources: Sequence[Numbered], donor: Program) -> _Pair:
        vector = Vector.of(sources)
        other = matching(vector, parent, donor, self._cache)
        if other is not None:
            return _Pair(donor, (vector, other), (), ())
        theirs = {source.path: source for source in self._cache.sources(donor.files)}
        pairs = [(source, theirs[source.path]) for source in self._cache.sources(parent.files) if source.path in theirs]
        functions = tuple(hunk for ours, other in pairs for hunk in function_swaps(ours, other))
        return _Pair(donor, None, functions, tuple(hunk for ours, other in pairs for hunk in hunks(ours, other)))

    def _child(self, parent: Program, pair: _Pair, rng: np.random.Generator) -> Change:
        return first_sound(parent, self._config.attempts, lambda: self._propose(parent, pair, rng))

    def _propose(self, parent: Program, pair: _Pair, rng: np.random.Generator) -> Change | None:
        if pair.vectors is not None:
            change = self._mixed(pair, *pair.vectors, rng)
        elif pair.functions and (not pair.pieces or rng.random() < self._config.function_rate):
            change = _taken(pair, pair.functions, rng)
        else:
            change = _taken(pair, pair.pieces, rng)
        # Taking everything that differs would only repeat the donor.
        if change is None or spliced(parent.files, change.spans) == dict(pair.donor.files):
            return None
        return change

    def _mixed(self, pair: _Pair, ours: Vector, theirs: Vector, rng: np.random.Generator) -> Change | None:
        """Crosses two vectors of numbers."""
        if rng.random() < 0.5:
            take = rng.random(len(ours.values)) < 0.5
            values = tuple(b if t else a for a, b, t in zip(ours.values, theirs.values, take.tolist(), strict=True))
        else:
            values = tuple(_blended(a, b, self._config.alpha, rng) for a, b in zip(ours.values, theirs.values, strict=True))
        if values in (ours.values, theirs.values):
            return None
        note = ours.described(values, f"Mixes numbers with program {pair.donor.program_id}:")
        return Change(note, ours.spans(values), donors=(pair.donor.program_id,))


def _blended(one: int | float, other: int | float, alpha: float, rng: np.random.Generator) -> int | float:
    """Draws uniformly from the interval between two numbers, widened on both sides by ``alpha`` of it."""
    if one == other:
        return one
    fresh = one + (other - one) * rng.uniform(-alpha, 1 + alpha)
    if isinstance(one, int):
        return round(fresh)
    return shortened(fresh, digits_for(fresh, other - one)) if np.isfinite(fresh) else one


def _taken(pair: _Pair, options: Sequence[Hunk], rng: np.random.Generator) -> Change:
    """Takes one hunk, and with falling probability more that are clear of those taken."""
    taken = [pick(rng, options)]
    while len(taken) < len(options) and rng.random() < 0.4:
        fresh = pick(rng, options)
        if all(fresh.path != hunk.path or fresh.clear_of(hunk) for hunk in taken):
            taken.append(fresh)
    spans: dict[str, list[Span]] = {}
    for hunk in taken:
        spans.setdefault(hunk.path, []).extend(hunk.spans)
    what = ", ".join(dict.fromkeys(hunk.what for hunk in taken))
    return Change(f"Takes {what} from program {pair.donor.program_id}.", spans, donors=(pair.donor.program_id,))
