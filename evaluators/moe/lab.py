"""Scores programs that balance experts: what the ``evaluate.py`` of the tasks ``moe_*`` have in common.

A program is trained at `smoke` twice (does it run, does it repeat, does it look at single tokens only), then at the task's size with
one seed, and with more where that one was not hopeless. Every seed's result is compared with that of loss-free balancing with the
same seed (`reference`). Finished results are trained with fresh seeds, in other shapes, twice as wide, and on text whose domains change.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from evolve.errors import TaskError, nearest_hint
from evolve.evaluators.base import IsolatedProgram, Score
from evolve.evaluators.moe import report
from evolve.evaluators.moe.calling import SandboxedMethod, sandboxed
from evolve.evaluators.moe.guards import check_repeats
from evolve.evaluators.moe.spec import SIZES, Size
from evolve.evaluators.moe.trainer import Training, train
from evolve.evaluators.moe.vocabulary import HOOKS

#: More experts without computation than true ones have no room in the shared memory.
_MOST_NULL = 2


@dataclass(frozen=True, slots=True)
class LabConfig:
    """How a task of the lab measures; read from the task's ``lab.toml``.

    Attributes:
        size: Name of the size that programs are trained at.
        fitness: ``constrained``, ``frontier`` or ``shinka``; see `fitness`.
        unequal: Whether experts are of unequal cost.
        seeds: Of the trainings of one evaluation; they are the same for all programs.
        screen: A program whose first seed scores less than this is not trained with the others.
    """

    size: str = "nano"
    fitness: str = "constrained"
    unequal: bool = False
    seeds: tuple[int, ...] = (0, 1, 2)
    screen: float = -6.0
