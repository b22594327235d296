"""The free local mutators: no model, no network, a few milliseconds each.

They replace spans of the text, so that formatting and comments survive; every child differs from its parent, keeps to the
mutable regions, and parses if it is Python. Numbers are tuned and mixed in any language that `evolve.mutators.languages`
knows; statements are mutated, and functions exchanged, in Python only, by the positions of syntax-tree nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

from evolve.edits import mutable_regions
from evolve.mutation import Mutator
from evolve.mutators.literals import LiteralTuning
from evolve.mutators.recombine import Recombination
from evolve.mutators.source import SourceCache
from evolve.mutators.statements import StatementMutation
from evolve.program import Files


def local_mutators() -> tuple[Mutator, ...]:
    """Makes one of each, sharing the cache of parsed sources."""
    cache = SourceCache()
    return (LiteralTuning(cache=cache), StatementMutation(cache=cache), Recombination(cache=cache))


def applicable(mutators: Sequence[Mutator], files: Files) -> tuple[Mutator, ...]:
    """Leaves out the local mutators that could change nothing in a program, however often they were asked.

    Args:
        mutators: Those of `local_mutators`, in order.
        files: The program.
    """
    if any(path.endswith(".py") and regions for path, regions in mutable_regions(files).items()):
        return tuple(mutators)
    return tuple(mutator for mutator in mutators if mutator.name != StatementMutation.name)
