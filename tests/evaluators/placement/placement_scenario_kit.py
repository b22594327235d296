"""Tiny traces on a tiny cluster, policies that record what they are asked, and programs that cost what the test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from placement_cluster_kit import UNIT, drawn_tokens, sized

from evolve.evaluators.base import SiblingFailed
from evolve.evaluators.placement import presets, problem
from evolve.evaluators.placement.catalog import source
from evolve.evaluators.placement.policy import LocalPolicy
from evolve.evaluators.placement.scenario import Rules, Scenario
from evolve.evaluators.placement.trace import Trace
from evolve.program import Outcome

#: Two nodes of two GPUs with three slots each; NVLink copies an expert in an eighth of a second, the network in one.
TINY = sized(UNIT, slots=12, nvlink_bytes_s=8.0, latency_s=0.25, flops=3.0, memory_bytes_s=2.0)

HIERARCHICAL = source("deepseek_hierarchical")

#: A plan that is the same, whatever is asked.
STILL = """
import numpy as np

def plan(history, tokens, current, cluster):
    return np.tile(np.arange(cluster["slots"]) % cluster["experts"], (len(current), 1))
"""

#: Plans that follow the last window: the busiest experts get the spare slots.
FOLLOWS = """
import numpy as np

def follow(load, slots):
    order = np.argsort(-load, axis=1, kind="stable")
    return np.concatenate([order, order[:, : slots - load.shape[1]]], axis=1)

def plan(history, tokens, current, cluster):
    return follow(history[-1], cluster["slots"])
"""

#: What must not pass: each follows something else than its arguments.
COUNTS = """
import numpy as np

CALLS = []

def plan(history, tokens, current, cluster):
    CALLS.append(1)
    return np.roll(np.tile(np.arange(cluster["slots"]) % cluster["experts"], (len(current), 1)), len(CALLS), axis=1)
"""
REMEMBERS = f"""{FOLLOWS}
SEEN = []

def plan(history, tokens, current, cluster):
    SEEN.append(history[-1])
    return follow(np.sum(SEEN, axis=0), cluster["slots"])
"""
UNSEEDED = """
import numpy as np

def plan(history, tokens, current, cluster):
    slots = np.tile(np.arange(cluster["slots"]) % cluster["experts"], (len(current), 1))
    return np.random.default_rng().permuted(slots, axis=1)
"""
FIRST_FOR_EVER = f"""{FOLLOWS}
ANSWER = []

def plan(history, tokens, current, cluster):
    if not ANSWER:
        ANSWER.append(follow(history[-1], cluster["slots"]))
    return ANSWER[0]
"""
FORGETFUL_NOT = {"counts": COUNTS, "remembers": REMEMBERS, "draws": UNSEEDED, "first for ever": FIRST_FOR_EVER}

#: Looks its answer up where it was asked the same before: it may, and gains nothing.
CACHES = f"""{FOLLOWS}
KNOWN = {{}}

def plan(history, tokens, current, cluster):
    key = history.tobytes()
    if key not in KNOWN:
        KNOWN[key] = follow(history[-1], cluster["slots"])
    return KNOWN[key]
"""


def drawn_trace(seed=0, windows=6, layers=2, experts=8, *, k=2, groups=2, steps=10, sampled=16, name="tiny"):
    """Loads of deviation 1 that have nothing to do with each other, and tokens that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    load = np.ceil(rng.lognormal(5, 1, (windows, layers, experts))).astype(np.int64)
    tokens = np.stack([drawn_tokens(rng, layers, sampled, experts, k) for _ in range(windows)]) if sampled else None
    return Trace(load, steps, k, groups, tokens, name)


def drawn_scenario(seed=0, *, cluster=TINY, history=2, keep_groups=False, routed=False, count_planning=False, **trace):
    """Six windows of two layers of eight experts, two of the windows history."""
    return Scenario(drawn_trace(seed, **trace), cluster, Rules(history, keep_groups, routed, count_planning))


def constant(scenario):
    """The same with all windows like the first."""
    trace = scenario.trace
    return replace(scenario, trace=replace(trace, load=np.repeat(trace.load[:1], trace.windows, axis=0)))


def local(text, scenario):
    return LocalPolicy(text, scenario.facts)


class Told:
    """A policy of functions that takes ``cost_s`` for each plan and keeps what it was asked."""

    def __init__(self, plan: Callable, route: Callable | None = None, cost_s: float = 0.0) -> None:
        self.asked: list[tuple] = []
        self.routed: list[tuple] = []
        self.cpu_s = 0.0
        self._plan, self._route, self._cost_s = plan, route, cost_s

    def plan(self, history, tokens, current):
        self.asked.append((history.copy(), None if tokens is None else tokens.copy(), current.copy()))
        self.cpu_s += self._cost_s
        return self._plan(history, tokens, current)

    def route(self, load, slots):
        self.routed.append((load.copy(), slots.copy()))
        return self._route(load, slots)


def in_turn(answers):
    """A plan that gives these answers, one after the other."""
    left = iter(answers)
    return lambda history, tokens, current: next(left)


class LocalProgram:
    """A program without its sandbox, whose calls take these CPU seconds, the last of them over and over.

    Arguments are copies, read-only where the originals are; a sibling begins anew.
    """

    def __init__(self, text: str, costs_s: Sequence[float] = (1.0,), siblings_cost_s: Sequence[float] = (1.0,)) -> None:
        self.files = {"initial.py": text}
        self.cpu_s = 0.0
        self.calls: list[tuple] = []
        self.siblings: list[LocalProgram] = []
        self._costs_s, self._siblings_cost_s = list(costs_s), siblings_cost_s
        self._names: dict = {}
        self.failed_as: type[Exception] | None = None
        exec(text, self._names)

    def call(self, function, *args):
        copies = [_copy(arg) for arg in args]
        self.calls.append((function, *copies))
        self.cpu_s += self._costs_s.pop(0) if len(self._costs_s) > 1 else self._costs_s[0]
        try:
            return self._names[function](*copies)
        except Exception as error:
            if self.failed_as is None:
                raise
            raise self.failed_as(Outcome.CRASHED, f"{type(error).__name__}: {error}") from error

    def sibling(self, files):
        [text] = files.values()
        self.siblings.append(LocalProgram(text, self._siblings_cost_s))
        self.siblings[-1].failed_as = SiblingFailed
        return self.siblings[-1]


def _copy(value):
    if not isinstance(value, np.ndarray):
        return value
    copy = value.copy()
    copy.setflags(write=value.flags.writeable)
    return copy


def shrink(monkeypatch) -> None:
    """Makes the only cluster `TINY`, and all presets as small as `drawn_trace`."""
    small = {"experts": 8, "groups": 2, "group_limit": 2, "k": 2, "sampled": 16, "clusters": 2, "tokens_per_step": 64}
    monkeypatch.setattr(problem, "CLUSTERS", {"h800": TINY})
    monkeypatch.setattr(presets, "PRESETS", {name: replace(config, **small) for name, config in presets.PRESETS.items()})
