"""Stands in for ``evolve.evaluators`` inside the sandbox: what an ``evaluate.py`` that shares its program's process needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Direction(StrEnum):
    """Whether more or less of a number is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured number."""

    value: float
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What ``evaluate`` returns for a program that counts; figure and artifacts are not made here."""

    objective: float | None = None
    metrics: Mapping[str, float | Metric] = field(default_factory=dict)
    feedback: str = ""
    figure: Callable[[str], None] | None = None
    instances: Mapping[str, float] = field(default_factory=dict)
    values: Sequence[float] = ()
    artifacts: Mapping[str, Callable[[str], None]] = field(default_factory=dict)


class Invalid(Exception):
    """``evaluate`` raises it when the program's answer does not count; the message is the feedback."""


class Refused(Exception):
    """A lent function raises it; here it goes through the program like any exception."""


class ProgramFailed(Exception):
    """Only there to be named: here a failing program raises its own exception."""


class SharedProgram:
    """The program in this process: `call` hands over any object and returns any object, `module` is the module itself."""

    def __init__(self, files: Mapping[str, str], load: Callable[[], Any]) -> None:
        """Imports nothing yet.

        Args:
            files: The program's source.
            load: Imports it.
        """
        self.files = files
        self._load = load
        self._module: Any = None  # Any: a module
        self._started = time.process_time()

    @property
    def module(self) -> Any:  # Any: a module
        """The program's first file, imported at the first use."""
        if self._module is None:
            self._module = self._load()
        return self._module

    @property
    def cpu_s(self) -> float:
        """CPU seconds of this process since the evaluation began; the program can change what this says."""
        return time.process_time() - self._started

    def call(
        self,
        function: str,
        *args: Any,  # Any: here and below, whatever the two agree on
        callbacks: Mapping[str, Callable[..., Any]] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Calls a function of the program's first file; lent functions are handed over as they are, without limits."""
        found = getattr(self.module, function, None)
        if not callable(found):
            raise Invalid(f"the program has no function {function!r}")
        return found(*args, **kwargs, **(callbacks or {}))
