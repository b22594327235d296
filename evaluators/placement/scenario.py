"""A trace on machines under rules: what a policy is asked, and when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evolve.errors import ConfigError
from evolve.evaluators.base import Invalid
from evolve.evaluators.placement.cluster import Cluster, check_fits, facts
from evolve.evaluators.placement.placement import check_grouped, check_slots, gpu_load, uniform_share
from evolve.evaluators.placement.trace import Trace


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a policy, and what is charged to it.

    Attributes:
        history: Windows that it is shown, and that pass before the first one that counts.
        keep_groups: Whether all replicas of a group's experts have to lie on one node.
        routed: Whether it also says how tokens are shared among replicas; evenly otherwise.
        count_planning: Whether its CPU seconds are charged like the copying of experts. Scores then differ from run to run.
    """

    history: int = 8
    keep_groups: bool = False
    routed: bool = False
    count_planning: bool = False

    def __post_init__(self) -> None:
        if self.history < 1:
            raise ValueError(f"history must be >= 1 window, got {self.history}")


class Moment(NamedTuple):
    """A window that counts, as a policy meets it.

    Attributes:
        window: Its place in the trace.
        history: ``(W, L, E)`` loads before it.
        seen: ``(W, L, n, k)`` sampled tokens before it; None where only loads are known.
        load: ``(L, E)`` its own loads.
        tokens: ``(L, n, k)`` its own sampled tokens.
    """

    window: int
    history: np.ndarray
    seen: np.ndarray | None
    load: np.ndarray
    tokens: np.ndarray | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A trace on machines under rules.

    Attributes:
        trace: Of loads; the first windows are history only.
        cluster: The machines.
        rules: What is asked and charged.

    Raises:
        ConfigError: If the experts do not fit the machines, or their groups not the experts or, where they have to be kept
            together, the nodes; or if no window is left to count.
    """

    trace: Trace
    cluster: Cluster
    rules: Rules

    def __post_init__(self) -> None:
        trace, nodes = self.trace, self.cluster.nodes
        try:
            check_fits(self.cluster, trace.experts, trace.groups)
        except ConfigError as error:
            raise ConfigError(f"trace {trace.name}: {error}") from error
        if self.rules.keep_groups and trace.groups % nodes:
            raise ConfigError(
                f"trace {trace.name}: rules.keep_groups needs groups of experts that can be divided evenly among the nodes; "
                f"got {trace.groups} groups and {nodes} nodes"
            )
        if trace.windows <= self.rules.history:
            raise ConfigError(
                f"trace {trace.name} has {trace.windows} windows, {self.rules.history} of them history (rules.history): "
                "none is left to count"
            )

    @property
    def facts(self) -> dict[str, int | float]:
        """What policies are told of the machines: plain numbers by name."""
        return facts(self.cluster, self.trace.experts, self.trace.groups)

    @property
    def moments(self) -> Iterator[Moment]:
        """The windows that count."""
        load, tokens = self.trace.load, self.trace.tokens
        for window in range(self.rules.history, self.trace.windows):
            before = slice(window - self.rules.history, window)
            if tokens is None:
                yield Moment(window, load[before], None, load[window], None)
            else:
                yield Moment(window, load[before], tokens[before], load[window], tokens[window])

    @property
    def start(self) -> np.ndarray:
        """``(L, R)`` int64, in force before the first plan: experts in order, beginning again in slots to spare."""
        return np.tile(np.arange(self.cluster.slots) % self.trace.experts, (self.trace.layers, 1))

    def load_of(self, moment: Moment) -> np.ndarray:
        """``(L, E)`` float64, choices of each expert in a step of a window."""
        return moment.load / self.trace.steps_per_window

    def checked(self, answer: object) -> np.ndarray:
        """The placement that a policy answered, ``(L, R)`` int64.

        Raises:
            Invalid: If it is none.
        """
        slots = check_slots(answer, self.trace.layers, self.cluster.slots, self.trace.experts)
        if self.rules.keep_groups:
            check_grouped(slots, self.cluster, self.trace.experts, self.trace.groups)
        return slots

    def unplanned(self, load: np.ndarray) -> np.ndarray:
        """``(L, D)`` loads of GPUs, of experts with these ``(L, E)`` loads, had nobody ever planned."""
        share = uniform_share(self.start, self.trace.experts)
        return gpu_load(load, self.start, share, self.cluster.gpus)


@contextmanager
def located(scenario: Scenario, window: int, circumstance: str = "") -> Iterator[None]:
    """Has what is refused inside the context say in which trace and window, and under which circumstance."""
    try:
        yield
    except Invalid as invalid:
        raise Invalid(f"trace {scenario.trace.name}, window {window}: {circumstance}{invalid}") from None
