"""The free local mutators: no model, no network, a few milliseconds each.

They change Python files only, by positions of syntax-tree nodes spliced into the text, so that formatting and comments
survive; every child parses, differs from its parent and keeps to the mutable regions.
"""

from __future__ import annotations

from evolve.mutators.base import Mutator
from evolve.mutators.literals import LiteralTuning
from evolve.mutators.recombine import Recombination
from evolve.mutators.source import SourceCache
from evolve.mutators.statements import StatementMutation


def local_mutators() -> tuple[Mutator, ...]:
    """Makes one of each, sharing the cache of parsed sources."""
    cache = SourceCache()
    return (LiteralTuning(cache=cache), StatementMutation(cache=cache), Recombination(cache=cache))
