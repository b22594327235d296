"""Evolves programs: mutators rewrite them, a sandbox scores them, an archive remembers everything.

The same as the command line, from Python::

    import evolve

    run = evolve.run("circle_packing", steps=300, seed=0)
    print(run.best_objective, run.best.files["initial.py"])

Rooms: `evolve.program` (the records that everything exchanges), `evolve.loop` and `evolve.stages` (one run, one step),
`evolve.search` (what a run has learnt), `evolve.mutators` (what makes children), `evolve.executors` and
`evolve.evaluators` (where and how programs are scored), `evolve.archive` (where everything is kept and chosen from),
`evolve.comparing` (strategies held against each other), `evolve.tasks`, `evolve.cli`, `evolve.testing` (contract suites for
plug-ins).

Public names are imported on first use: numpy alone would take longer than all the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evolve.api import Run, replay, rescore, resume, run, steer
    from evolve.archive.store import Archive
    from evolve.comparing.comparison import Comparison
    from evolve.comparing.library import compare
    from evolve.errors import EvolveError
    from evolve.evaluators.base import Invalid, IsolatedProgram, Score
    from evolve.program import Direction, Evaluation, Limits, Metric, Objective, Outcome, Program, Task
    from evolve.tasks.base import inline as inline_task
    from evolve.tasks.catalog import find as find_task

#: Where each public name lives; held against the imports above by a test.
_HOMES = {
    "Archive": ("evolve.archive.store", "Archive"),
    "Comparison": ("evolve.comparing.comparison", "Comparison"),
    "Direction": ("evolve.program", "Direction"),
    "Evaluation": ("evolve.program", "Evaluation"),
    "EvolveError": ("evolve.errors", "EvolveError"),
    "Invalid": ("evolve.evaluators.base", "Invalid"),
    "IsolatedProgram": ("evolve.evaluators.base", "IsolatedProgram"),
    "Limits": ("evolve.program", "Limits"),
    "Metric": ("evolve.program", "Metric"),
    "Objective": ("evolve.program", "Objective"),
    "Outcome": ("evolve.program", "Outcome"),
    "Program": ("evolve.program", "Program"),
    "Run": ("evolve.api", "Run"),
    "Score": ("evolve.evaluators.base", "Score"),
    "Task": ("evolve.program", "Task"),
    "compare": ("evolve.comparing.library", "compare"),
    "find_task": ("evolve.tasks.catalog", "find"),
    "inline_task": ("evolve.tasks.base", "inline"),
    "replay": ("evolve.api", "replay"),
    "rescore": ("evolve.api", "rescore"),
    "resume": ("evolve.api", "resume"),
    "run": ("evolve.api", "run"),
    "steer": ("evolve.api", "steer"),
}

__all__ = [
    "Archive",
    "Comparison",
    "Direction",
    "Evaluation",
    "EvolveError",
    "Invalid",
    "IsolatedProgram",
    "Limits",
    "Metric",
    "Objective",
    "Outcome",
    "Program",
    "Run",
    "Score",
    "Task",
    "compare",
    "find_task",
    "inline_task",
    "replay",
    "rescore",
    "resume",
    "run",
    "steer",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'evolve' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
