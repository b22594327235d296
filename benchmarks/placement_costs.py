"""What scoring a policy costs beyond the policy's own time, and what routing tokens freely could add to a placement."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from evolve.evaluators.placement.bounds import lower_bound_any_routing
from evolve.evaluators.placement.catalog import source
from evolve.evaluators.placement.cluster import CLUSTERS
from evolve.evaluators.placement.examined import examine
from evolve.evaluators.placement.placement import gpu_load, uniform_share
from evolve.evaluators.placement.policy import LocalPolicy, ProgramPolicy
from evolve.evaluators.placement.presets import trace_of
from evolve.evaluators.placement.routing_lp import best_routing
from evolve.evaluators.placement.scenario import Rules, Scenario
from evolve.evaluators.placement.simulator import replay
from evolve.evaluators.sandbox import strongest_level
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Limits

T = TypeVar("T")

#: The default problem: 4 x 8 GPUs with 288 slots for 256 experts in each of 58 layers, 20 windows that count after 8 of history.
WINDOWS, HISTORY = 20, 8
POLICY = "deepseek_hierarchical"
AIM_S = 0.5

#: Traces that routing is looked at on.
PRESETS = ("lognormal_05", "lognormal_1", "drift", "mixed", "zipf_1")
POLICIES = ("none", "deepseek_hierarchical", "deepseek_global", "lpt_local_search")


def default_scenario() -> Scenario:
    """The default problem."""
    return Scenario(trace_of("mixed", "validation", 0, windows=WINDOWS + HISTORY), CLUSTERS["h800"], Rules(history=HISTORY))


class Cost(NamedTuple):
    """CPU seconds of one repeat."""

    generating: float
    replaying: float
    planning: float
    examining: float
    asking_again: float
    sandboxed: float
    sandboxed_planning: float


def measure() -> Cost:
    """Generates the default problem, replays it and asks again about every window; and replays it with the policy in a sandbox."""
    scenario, generating = _timed(default_scenario)
    policy, witness = (LocalPolicy(source(POLICY), scenario.facts) for _ in range(2))
    replayed, replaying = _timed(lambda: replay(policy, scenario))
    _, examining = _timed(lambda: examine(witness, scenario, replayed, range(WINDOWS)))
    sandboxed, inside = _in_a_sandbox(scenario)
    return Cost(generating, replaying - policy.cpu_s, policy.cpu_s, examining - witness.cpu_s, witness.cpu_s, sandboxed, inside)


def _in_a_sandbox(scenario: Scenario) -> tuple[float, float]:
    """CPU seconds of this process while it replays a program's placements, and of the program."""
    limits = Limits(timeout_s=60.0, wall_timeout_s=300.0, memory_mb=1024, preload=("numpy",))
    with (
        ForkServer(SandboxSettings("initial.py", limits, strongest_level())) as server,
        SandboxedProgram(server, {"initial.py": source(POLICY)}, 0) as program,
    ):
        policy = ProgramPolicy(program, scenario.facts)
        _, here = _timed(lambda: replay(policy, scenario))
        return here, policy.cpu_s


def speed_report(repeats: int) -> Iterator[str]:
    """Writes what scoring one policy costs."""
    costs = [measure() for _ in range(repeats)]
    middle = {name: statistics.median(getattr(cost, name) for cost in costs) for name in Cost._fields}
    most = {name: max(getattr(cost, name) for cost in costs) for name in Cost._fields}
    yield f"58 layers, 256 experts, 288 slots, 32 GPUs, {WINDOWS} windows, policy `{POLICY}`; {repeats} times, CPU seconds.\n"
    yield "| what | median | most | aim |\n|---|---|---|---|"
    rows = (
        ("scoring in one process, beyond the policy's own time", "replaying", f"<= {AIM_S}"),
        ("the policy's own time there", "planning", ""),
        ("scoring with the policy in a sandbox, beyond its own time", "sandboxed", f"<= {AIM_S}"),
        ("the policy's own time there", "sandboxed_planning", ""),
        ("second look at every window (repeats? with foresight?), beyond the policy's time", "examining", ""),
        ("the policy's time for that", "asking_again", ""),
        ("making the trace, once", "generating", ""),
    )
    for what, name, aim in rows:
        yield f"| {what} | {middle[name]:.3f} | {most[name]:.3f} | {aim} |"


def routing_report() -> Iterator[str]:
    """Writes how evenly GPUs are loaded if replicas share alike, and if every token may go to any replica."""
    yield (
        "Busiest GPU over the mean, averaged over 8 layers and 6 windows, placements made of the window before; `free` is the "
        "optimum of the linear program that divides an expert's tokens among its replicas, window by window. `gap closed`: the "
        "part of what lies above the bound of any routing that free routing takes away.\n"
    )
    yield "| trace | policy | even | free | gap closed |\n|---|---|---|---|---|"
    for preset in PRESETS:
        for policy in POLICIES:
            even, free, bound = _routed(preset, policy)
            closed = f"{(even - free) / (even - bound):.0%}" if even > bound * (1 + 1e-9) else ""
            yield f"| {preset} | `{policy}` | {even:.4f} | {free:.4f} | {closed} |"


def _routed(preset: str, policy: str) -> tuple[float, float, float]:
    trace = trace_of(preset, "validation", 0, layers=8, windows=7, sampled=0)
    scenario = Scenario(trace, CLUSTERS["h800"], Rules(history=1))
    replayed = replay(LocalPolicy(source(policy), scenario.facts), scenario)
    found = []
    for place, moment in enumerate(scenario.moments):
        load, slots, gpus = scenario.load_of(moment), replayed.slots[place].astype(np.int64), scenario.cluster.gpus
        even = gpu_load(load, slots, uniform_share(slots, trace.experts), gpus).max(-1)
        free = best_routing(load, slots, gpus).hottest
        bound = lower_bound_any_routing(load, gpus, scenario.cluster.slots)
        found.append(np.array([even, free, bound]) * gpus / load.sum(-1))
    even, free, bound = np.mean(found, axis=(0, 2))
    return float(even), float(free), float(bound)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    begun_s = time.process_time()
    done = work()
    return done, time.process_time() - begun_s
