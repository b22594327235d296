"""What decides where experts lie: a program in its sandbox, or one of our own in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from evolve.evaluators.base import IsolatedProgram

#: What a policy is told of the machines: plain numbers by name, see `scenario.Scenario.facts`.
Facts = Mapping[str, float]


class Policy(Protocol):
    """Plans placements, and shares tokens among replicas where it is asked to.

    What it answers is unchecked.
    """

    @property
    def cpu_s(self) -> float:
        """CPU seconds that it took so far."""
        ...

    def plan(self, history: np.ndarray, tokens: np.ndarray | None, current: np.ndarray) -> Any:  # Any: whatever a program made up
        """Says which expert each slot is to hold in the next window.

        Args:
            history: ``(W, L, E)`` int64 loads of the windows before, oldest first; not to be changed.
            tokens: ``(W, L, n, k)`` int16, the experts that sampled tokens of those windows chose together; None where only loads
                are known; not to be changed.
            current: ``(L, R)`` int64, the expert that each slot holds now; not to be changed.
        """
        ...

    def route(self, load: np.ndarray, slots: np.ndarray) -> Any:  # Any: as above
        """Says which part of its expert's tokens each slot gets in a window whose placement is in force.

        Args:
            load: ``(L, E)`` loads of this very window.
            slots: ``(L, R)`` int64, the placement.
        """
        ...


class ProgramPolicy:
    """A program's functions ``plan(history, tokens, current, cluster)`` and ``route(load, slots, cluster)``."""

    def __init__(self, program: IsolatedProgram, facts: Facts) -> None:
        self._program = program
        self._facts = dict(facts)

    @property
    def cpu_s(self) -> float:
        return self._program.cpu_s

    def plan(self, history: np.ndarray, tokens: np.ndarray | None, current: np.ndarray) -> Any:  # Any: see Policy
        return self._program.call("plan", _sealed(history), _sealed(tokens), _sealed(current), self._facts)

    def route(self, load: np.ndarray, slots: np.ndarray) -> Any:  # Any: see Policy
        return self._program.call("route", _sealed(load), _sealed(slots), self._facts)


class LocalPolicy:
    """The same functions of trusted source, such as a baseline's, in this process."""

    def __init__(self, source: str, facts: Facts) -> None:
        """Runs the source's top level.

        Raises:
            ValueError: If it defines no ``plan``.
        """
        names: dict[str, Callable[..., Any]] = {}  # Any: whatever plain data the functions agree on
        exec(compile(source, "<policy>", "exec"), names)
        if "plan" not in names:
            raise ValueError("the policy's source defines no function plan(history, tokens, current, cluster)")
        self._names = names
        self._facts = dict(facts)
        self._cpu_s = 0.0

    @property
    def cpu_s(self) -> float:
        return self._cpu_s

    def plan(self, history: np.ndarray, tokens: np.ndarray | None, current: np.ndarray) -> Any:  # Any: see Policy
        return self._timed("plan", _sealed(history), _sealed(tokens), _sealed(current))

    def route(self, load: np.ndarray, slots: np.ndarray) -> Any:  # Any: see Policy
        return self._timed("route", _sealed(load), _sealed(slots))

    def _timed(self, function: str, *arrays: np.ndarray | None) -> Any:  # Any: see Policy
        begun_s = time.process_time()
        try:
            return self._names[function](*arrays, self._facts)
        finally:
            self._cpu_s += time.process_time() - begun_s


def _sealed(array: np.ndarray | None) -> np.ndarray | None:
    """A view that cannot be written to: a policy that edits its input fails where it does so."""
    if array is None:
        return None
    view = array.view()
    view.setflags(write=False)
    return view
