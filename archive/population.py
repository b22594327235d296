"""What parents are drawn from: the protocol that islands, grids and fronts implement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Member:
    """What a population remembers of one program; the source stays in the archive.

    Attributes:
        program_id: Its identifier.
        step: The step that made it.
        fitness: Its objective, oriented so that larger is better.
        size: Characters of its source.
        parent: Identifier of its first parent; None for a starting program.
        island: Where it was born; None for a starting program, which belongs everywhere.
        new_approach: Whether its step was to take another approach than its parent's.
        traits: What the population asked for (`Population.traits`), as far as the program has it.
        embedding: ``(d,)`` float32, of its mutable text (`evolve.archive.embeddings`); None unless the population asked for it.
    """

    program_id: str
    step: int
    fitness: float
    size: int
    parent: str | None = None
    island: int | None = None
    new_approach: bool = False
    traits: Mapping[str, float] = field(default_factory=dict)
    embedding: np.ndarray | None = field(default=None, compare=False, repr=False)


class Choice(NamedTuple):
    """What one step starts from: identifiers of a parent and of inspirations, best first, and the island they live on."""

    island: int
    parent: str
    inspirations: tuple[str, ...]


class Population(Protocol):
    """Keeps a bounded set of scored programs and chooses what to change next.

    A population is a fold over a run's additions: the same calls in the same order with the same generators give the same
    state, on any machine and whatever ran in between. It never reads a clock, a file or a global generator.

    **Order of calls.** `settle` is called exactly once for every step, in the order of the archive's versions, also for
    steps that made nothing (``member`` is None). `choose` may be called at any time after the first settled member and
    leaves the population's contents as they are.

    **Cost.** Neither call may grow with the number of programs ever settled, only with the bounded number kept.
    """

    @property
    def traits(self) -> frozenset[str]:
        """Names of the traits that members must come with (`evolve.archive.traits`)."""
        return frozenset()

    @property
    def embeds(self) -> bool:
        """Whether members must come with embeddings."""
        return False

    def settle(self, parent: str | None, member: Member | None) -> None:
        """Takes note of a finished step.

        Args:
            parent: The program that the step tried to improve; None for a starting program.
            member: The scored child; None when the step failed or repeated a known program.
        """
        ...

    def choose(self, step: int, rng: np.random.Generator, exploration: float = 0.0) -> Choice:
        """Chooses parent and inspirations for a step.

        Args:
            step: Which one.
            rng: The only source of chance.
            exploration: How long the search has stood still, from 0 to 1; see `ParentChoice`.

        Raises:
            LookupError: If nothing has been settled yet.
        """
        ...

    def members(self) -> list[Member]:
        """The programs kept, each once, best first."""
        ...
