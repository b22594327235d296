"""Programs that come with a task besides its initial one: those that must not gain, and those that others are measured against."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evolve.errors import TaskError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Attack:
    """A program that tries to cheat a task; `evolve task check` runs it.

    Attributes:
        path: Its file, relative to the task's folder.
        about: What it tries, in a few words.
        ceiling: The best objective that it deserves honestly; None when it must not score at all.
    """

    path: str
    about: str
    ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """A program that others are measured against, such as a published method; `evolve task baselines` runs it.

    Its text takes the place of the program's first file.

    Attributes:
        name: What tables call it; letters, digits, ``_``, ``-`` and ``.``.
        about: What it is, in a few words.
        path: Its file, relative to the task's folder; empty where ``module`` or ``modules`` is given.
        module: Dotted name of an installed module whose source it is; the module is found, not imported.
        modules: Dotted names of installed modules whose sources, one after the other in this order, it is; none is imported.
        unfit: Why it is not expected to score, for one that is there to show that; empty for one that is.
    """

    name: str
    about: str = ""
    path: str = ""
    module: str = ""
    modules: tuple[str, ...] = ()
    unfit: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise TaskError(
                f"a baseline's name is made of letters, digits, '_', '-' and '.', the first of them a letter, digit or '_'; got "
                f"{self.name!r}"
            )
        given = {"path": self.path, "module": self.module, "modules": list(self.modules)}
        if sum(map(bool, given.values())) != 1:
            got = " and ".join(f"{key} = {value!r}" for key, value in given.items() if value) or "none of them"
            raise TaskError(f"baseline {self.name}: give exactly one of path, module and modules, got {got}")


@dataclass(frozen=True, slots=True)
class BaselinesTable:
    """What the report on a task's baselines shows.

    Attributes:
        metrics: Columns beside the objective, in this order; empty for all metrics that there are.
        chart: Two metrics, the objective's name among them if wanted, that are drawn against each other; empty for a chart of the
            objective alone.
        reference: Baseline that the others are held against; empty for the first that should score.
    """

    metrics: tuple[str, ...] = ()
    chart: tuple[str, ...] = ()
    reference: str = ""

    def __post_init__(self) -> None:
        if len(self.chart) not in (0, 2):
            raise TaskError(f"baselines_table.chart takes two metrics, the first along the x axis, got {list(self.chart)!r}")
