"""Mutation on the syntax tree: one small change to an expression or to statements, its place and kind drawn by chance.

Source: the operators are those of genetic programming on imperative code (Langdon & Harman 2015, "Optimizing existing
software with genetic programming") and of mutation testing, weighted towards changes that tend to run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evolve.mutation import MutationRequest
from evolve.mutators import blocks, expressions, rearrange
from evolve.mutators.expressions import Tweak
from evolve.mutators.script import Change, apply_reply, first_sound, python_sources, reply_to
from evolve.mutators.source import PythonSource, SourceCache
from evolve.program import Files, Program, Reply

Operator = Callable[[PythonSource, np.random.Generator], Tweak | None]

OPERATORS: tuple[tuple[Operator, float], ...] = (
    (expressions.swap_operator, 2.0),
    (expressions.swap_comparison, 1.0),
    (expressions.swap_boolean, 0.4),
    (expressions.swap_function, 1.0),
    (expressions.rename, 1.5),
    (expressions.number_to_name, 0.7),
    (expressions.name_to_number, 0.7),
    (expressions.wrap, 2.5),
    (rearrange.keep_operand, 1.0),
    (rearrange.exchange_operands, 0.7),
    (rearrange.graft, 1.2),
    (rearrange.range_bounds, 0.7),
    (rearrange.negate_condition, 0.3),
    (blocks.delete, 1.5),
    (blocks.duplicate, 0.8),
    (blocks.exchange, 0.8),
    (blocks.move, 0.8),
    (blocks.insert_assignment, 1.5),
    (blocks.swap_augmented, 0.7),
)
"""Every operator with its weight, by which one is drawn."""


@dataclass(frozen=True, slots=True)
class StatementsConfig:
    """How syntax trees are mutated.

    Attributes:
        again: Probability of a further change on top, each in another file or clear of the ones before.
        attempts: Proposals before giving up; many operators find nothing to do in a small program.
    """

    again: float = 0.25
    attempts: int = 40

    def __post_init__(self) -> None:
        if not 0 <= self.again < 1:
            raise ValueError(f"again must lie in [0, 1), got {self.again}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be >= 1, got {self.attempts}")


class StatementMutation:
    """The mutator ``local/statements``."""

    name = "local/statements"

    def __init__(
        self,
        config: StatementsConfig | None = None,
        cache: SourceCache | None = None,
        operators: Sequence[tuple[Operator, float]] = OPERATORS,
    ) -> None:
        self._config = config or StatementsConfig()
        self._cache = cache or SourceCache()
        self._operators = [operator for operator, _ in operators]
        self._thresholds = np.cumsum([weight for _, weight in operators])

    async def generate(self, request: MutationRequest, rng: np.random.Generator) -> Reply:
        parent = request.parent.program
        sources = python_sources(parent, self._cache)
        return reply_to(first_sound(parent, self._config.attempts, lambda: self._propose(sources, rng)))

    def apply(self, reply: Reply, parent: Program) -> Files:
        return apply_reply(reply, parent)

    def _propose(self, sources: Sequence[PythonSource], rng: np.random.Generator) -> Change | None:
        tweaks = {source.path: tweak for source, tweak in [self._tweak(sources, rng)] if tweak is not None}
        if not tweaks:
            return None
        while rng.random() < self._config.again:
            source, tweak = self._tweak(sources, rng)
            known = tweaks.get(source.path)
            if tweak is None:
                continue
            if known is None:
                tweaks[source.path] = tweak
            elif _apart(known, tweak):
                tweaks[source.path] = Tweak(f"{known.note} {tweak.note}", known.spans + tweak.spans)
        note = " ".join(tweak.note for tweak in tweaks.values())
        return Change(note, {path: tweak.spans for path, tweak in tweaks.items()})

    def _tweak(self, sources: Sequence[PythonSource], rng: np.random.Generator) -> tuple[PythonSource, Tweak | None]:
        """Draws a file by how much of it can change, and an operator by its weight."""
        sizes = np.cumsum([len(source.places) + 1 for source in sources])
        source = sources[int(np.searchsorted(sizes, rng.random() * sizes[-1], side="right"))]
        chosen = int(np.searchsorted(self._thresholds, rng.random() * self._thresholds[-1], side="right"))
        return source, self._operators[chosen](source, rng)


def _apart(one: Tweak, other: Tweak) -> bool:
    """Tells whether two changes touch clearly different text."""
    return all(a.end < b.start or b.end < a.start for a in one.spans for b in other.spans)
