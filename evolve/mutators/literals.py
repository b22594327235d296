"""Tuning of the numbers written in a program: an evolution strategy whose vector is the program's literals.

Steps are multiplicative with a self-adapted scale, as in Schwefel 1981 and Beyer & Schwefel 2002 ("Evolution strategies: a
comprehensive introduction", section 4.2): ``sigma' = sigma * exp(tau * N(0, 1))``, then ``x' = x * exp(sigma' * N(0, 1))``; a
child inherits the sigma that made it, so scales that work spread. Where a program at hand differs from the parent in its
numbers only, the difference of two such vectors is a step too (differential evolution, Storn & Price 1997), which learns
directions that single steps cannot.

Deviations: only a few numbers move at a time, and sigma is divided by the square root of how many, so that one sigma
serves steps of any width; differences point from the worse program to the better one where both scores are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

import numpy as np

from evolve.edits import Span
from evolve.mutation import MutationFailed, MutationRequest, Scored
from evolve.mutators.numerals import Numbered, could_match, digits_for, rewritten, shortened, skeleton
from evolve.mutators.script import Change, apply_reply, first_sound, numbered_files, numbered_sources, reply_to
from evolve.mutators.source import SourceCache
from evolve.program import Files, Program, Reply

SIGMA = "literals.sigma"
"""Key of the self-adapted scale in `Program.strategy`."""


@dataclass(frozen=True, slots=True)
class LiteralsConfig:
    """How numbers are tuned. The rates are probabilities.

    Attributes:
        sigma: Relative scale of the first steps.
        min_sigma, max_sigma: Bounds of the self-adapted scale.
        restart_rate: Of a step at the first scale again, against scales that shrank too soon.
        difference_rate: Of a differential step, where another program allows one.
        all_rate: Of moving every float at once.
        additive_rate: Of adding to a float instead of multiplying it, which lets it pass zero.
        sign_rate: Of turning a float's sign.
        nice_rate: Of rounding one float to few digits or a simple fraction, where optima often sit.
        attempts: Proposals before giving up.
    """

    sigma: float = 0.3
    min_sigma: float = 1e-9
    max_sigma: float = 2.0
    restart_rate: float = 0.04
    difference_rate: float = 0.3
    all_rate: float = 0.15
    additive_rate: float = 0.5
    sign_rate: float = 0.01
    nice_rate: float = 0.06
    attempts: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.min_sigma <= self.sigma <= self.max_sigma:
            raise ValueError(f"need 0 < min_sigma <= sigma <= max_sigma, got {self.min_sigma}, {self.sigma}, {self.max_sigma}")
        for name in ("restart_rate", "difference_rate", "all_rate", "additive_rate", "sign_rate", "nice_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be >= 1, got {self.attempts}")


@dataclass(frozen=True, slots=True)
class Vector:
    """The numbers of one program as one vector.

    Attributes:
        sources: The files they stand in.
        values: All values, file by file.
    """

    sources: tuple[Numbered, ...]
    values: tuple[int | float, ...]

    @classmethod
    def of(cls, sources: Sequence[Numbered]) -> Vector:
        """Collects the numbers of some files."""
        return cls(tuple(sources), tuple(numeral.value for source in sources for numeral in source.numerals))

    @property
    def weights(self) -> np.ndarray:
        """``(n,)`` how readily each number is changed."""
        return np.array([numeral.weight for source in self.sources for numeral in source.numerals])

    def spans(self, values: Sequence[int | float]) -> dict[str, list[Span]]:
        """Replaces the numbers that differ from ``values``."""
        spans: dict[str, list[Span]] = {}
        fresh = iter(values)
        for source in self.sources:
            for numeral, value in zip(source.numerals, fresh, strict=False):  # the file's numbers run out first
                if value != numeral.value:
                    spans.setdefault(source.path, []).append(rewritten(source, numeral, value))
        return spans

    def described(self, values: Sequence[int | float], verb: str) -> str:
        """Says in a sentence which numbers change."""
        changed = [f"{old!r} to {new!r}" for old, new in zip(self.values, values, strict=True) if old != new]
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return f"{verb} {', '.join(changed[:3])}{more}."


def matching(vector: Vector, parent: Program, other: Program, cache: SourceCache) -> Vector | None:
    """Returns the numbers of a program that differs from the parent in its numbers only; None for any other program."""
    if other.files.keys() != parent.files.keys():
        return None
    if not all(could_match(parent.files[source.path], other.files[source.path]) for source in vector.sources):
        return None
    found = Vector.of(numbered_files(other.files, cache))
    if skeleton(found.sources) != skeleton(vector.sources):
        return None
    return found


class LiteralTuning:
    """The mutator ``local/literals``."""

    name = "local/literals"

    def __init__(self, config: LiteralsConfig | None = None, cache: SourceCache | None = None) -> None:
        self._config = config or LiteralsConfig()
        self._cache = cache or SourceCache()

    async def generate(self, request: MutationRequest, rng: np.random.Generator) -> Reply:
        parent = request.parent.program
        vector = Vector.of(numbered_sources(parent, self._cache))
        if not vector.values:
            raise MutationFailed(f"program {parent.program_id} has no number that can be tuned")
        peers = self._peers(request, vector)
        change = first_sound(parent, self._config.attempts, lambda: self._propose(request, vector, peers, rng), compiled=False)
        return reply_to(change)

    def apply(self, reply: Reply, parent: Program) -> Files:
        return apply_reply(reply, parent)

    def _peers(self, request: MutationRequest, vector: Vector) -> list[tuple[Scored, tuple[int | float, ...]]]:
        """Lists inspirations with their vectors that differ from the parent in numbers only."""
        peers = []
        for scored in request.inspirations:
            found = matching(vector, request.parent.program, scored.program, self._cache)
            if found is not None and found.values != vector.values:
                peers.append((scored, found.values))
        return peers

    def _propose(
        self,
        request: MutationRequest,
        vector: Vector,
        peers: Sequence[tuple[Scored, tuple[int | float, ...]]],
        rng: np.random.Generator,
    ) -> Change | None:
        config = self._config
        sigma = request.parent.program.strategy.get(SIGMA, config.sigma)
        draw = rng.random()
        donors: tuple[str, ...] = ()
        if peers and draw < config.difference_rate:
            one, two = _pair(request, vector, peers, rng)
            values = difference_step(vector.values, _direction(request, one, two), rng)
            donors = tuple(dict.fromkeys(s.program.program_id for s, _ in (one, two) if s is not request.parent))
            verb = "Moves along the difference of two programs:"
        elif rng.random() < config.nice_rate:
            values, verb = nice_step(vector.values, rng), "Rounds"
        else:
            chosen = self._chosen(vector, rng)
            sigma = self._adapted(sigma, len(chosen), rng)
            values, verb = self._steps(vector, chosen, sigma, rng), "Tunes"
        if values == vector.values:
            return None
        strategy = {**request.parent.program.strategy, SIGMA: sigma}
        return Change(vector.described(values, verb), vector.spans(values), strategy, donors)

    def _chosen(self, vector: Vector, rng: np.random.Generator) -> list[int]:
        """Draws which numbers move: mostly one to three, sometimes all floats."""
        floats = [index for index, value in enumerate(vector.values) if isinstance(value, float)]
        if len(floats) > 1 and rng.random() < self._config.all_rate:
            return floats
        weights = vector.weights
        count = min(len(weights), int(rng.geometric(0.5)))
        return sorted(rng.choice(len(weights), size=count, replace=False, p=weights / weights.sum()).tolist())

    def _adapted(self, sigma: float, width: int, rng: np.random.Generator) -> float:
        """Draws the child's scale."""
        config = self._config
        if rng.random() < config.restart_rate:
            return config.sigma
        tau = 1 / math.sqrt(2 * width)  # Beyer & Schwefel 2002, for as many variables as move
        return min(config.max_sigma, max(config.min_sigma, sigma * math.exp(tau * rng.standard_normal())))

    def _steps(self, vector: Vector, chosen: Sequence[int], sigma: float, rng: np.random.Generator) -> tuple[int | float, ...]:
        values = list(vector.values)
        scale = _typical(values)
        for index in chosen:
            value = values[index]
            step = sigma / math.sqrt(len(chosen))
            values[index] = int_step(value, step, rng) if isinstance(value, int) else self._float_step(value, step, scale, rng)
        return tuple(values)

    def _float_step(self, value: float, sigma: float, scale: float, rng: np.random.Generator) -> float:
        """Moves a float; one that is 0 has no scale of its own and takes that of the others."""
        draw = rng.standard_normal()
        if value == 0:
            fresh = scale * sigma * draw
        elif rng.random() < self._config.additive_rate:
            fresh = value + max(abs(value), scale) * sigma * draw
        else:
            fresh = value * math.exp(sigma * draw)
        if rng.random() < self._config.sign_rate:
            fresh = -fresh
        return _landed(value, fresh)


def _typical(values: Sequence[int | float]) -> float:
    sizes = [abs(value) for value in values if isinstance(value, float) and value != 0]
    return float(median(sizes)) if sizes else 1.0


def _landed(value: float, fresh: float) -> float:
    """Rounds a moved float to the digits that its move can be seen in; a move out of range is none."""
    if not math.isfinite(fresh):
        return value
    return shortened(fresh, digits_for(fresh, fresh - value))


def int_step(value: int, sigma: float, rng: np.random.Generator) -> int:
    """Moves an integer by one or more, mostly keeping it on its side of zero."""
    size = 1 + int(abs(rng.standard_normal()) * sigma * abs(value))
    fresh = value + (size if rng.random() < 0.5 else -size)
    if (value > 0 > fresh) or (value == 0 and fresh < 0 and rng.random() < 0.9):
        return value + size
    return fresh


def nice_step(values: Sequence[int | float], rng: np.random.Generator) -> tuple[int | float, ...]:
    """Rounds one float to one to three digits or to a fraction with a small denominator."""
    floats = [index for index, value in enumerate(values) if isinstance(value, float)]
    if not floats:
        return tuple(values)
    index = floats[int(rng.integers(len(floats)))]
    value = values[index]
    if rng.random() < 0.5:
        nice = shortened(value, int(rng.integers(1, 4)))
    else:
        nice = float(Fraction(value).limit_denominator(int(rng.integers(2, 13))))
    return tuple(nice if i == index else old for i, old in enumerate(values))


def difference_step(
    values: Sequence[int | float], difference: Sequence[float], rng: np.random.Generator
) -> tuple[int | float, ...]:
    """Adds a scaled difference of two vectors, to all numbers or to a random half.

    Source: Storn & Price 1997, ``x + F * (a - b)`` with binomial crossover; F is drawn for every step ("dither").

    Args:
        values: ``(n,)`` numbers of the parent.
        difference: ``(n,)`` what to scale and add.
        rng: The only source of chance.
    """
    factor = rng.uniform(0.2, 1.2)
    mask = np.ones(len(values), bool) if rng.random() < 0.5 else rng.random(len(values)) < 0.5
    moved: list[int | float] = []
    for value, delta, moves in zip(values, difference, mask.tolist(), strict=True):
        if not moves or delta == 0:
            moved.append(value)
        elif isinstance(value, int):
            moved.append(value + round(factor * delta))
        else:
            moved.append(_landed(value, value + factor * delta))
    return tuple(moved)


_Peer = tuple[Scored, tuple[int | float, ...]]


def _pair(request: MutationRequest, vector: Vector, peers: Sequence[_Peer], rng: np.random.Generator) -> tuple[_Peer, _Peer]:
    """Draws two different programs among the parent and its peers."""
    pool = [(request.parent, vector.values), *peers]
    first, second = rng.choice(len(pool), size=2, replace=False).tolist()
    return pool[first], pool[second]


def _direction(request: MutationRequest, one: _Peer, two: _Peer) -> list[float]:
    """Returns the difference of two vectors, from the worse program to the better one where that is known."""
    ours, theirs = one[0].evaluation.objective, two[0].evaluation.objective
    if ours is not None and theirs is not None:
        oriented = request.task.objective.direction.oriented
        if oriented(ours) < oriented(theirs):
            one, two = two, one
    return [a - b for a, b in zip(one[1], two[1], strict=True)]
