"""Scores programs as the ADRS leaderboard does (arXiv 2510.06189), but placements are proved first, and times taken from outside.

A placement that is made of one window's loads is scored on the next window's. What is published counts load by ``log2phy``, where a
slot that is named twice makes load vanish; here all load follows from ``phy2log``, and the other two maps have to agree with
it. The published time includes the scorer's own; here it is the median CPU time of the program's process, over windows that it sees
for the first time, but no less than half of the mean: a program that takes its time in fewer than half of the calls pays for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import numpy as np

from evolve.errors import ConfigError
from evolve.evaluators.base import Direction, Invalid, IsolatedProgram, Metric, Score, asked_again
from evolve.evaluators.placement.balance import Balance, balance
from evolve.evaluators.placement.bounds import lower_bound
from evolve.evaluators.placement.catalog import source
from evolve.evaluators.placement.figures import draw_gpu_loads
from evolve.evaluators.placement.placement import (
    check_conserved,
    check_maps,
    nodes_per_group,
    slot_load,
    split_maps,
    uniform_share,
    wasted,
)
from evolve.evaluators.placement.problem import Problem, ProblemConfig
from evolve.evaluators.placement.scenario import Scenario, located
from evolve.evaluators.placement.scores import adrs_leaderboard, openevolve, skydiscover, speed

#: Whose time is the unit of `speed`.
REFERENCE = ("deepseek_hierarchical", "rebalance")

#: Calls of the reference, the first of which only warms up.
_REFERENCE_CALLS = 4


class _Answer(NamedTuple):
    """One call.

    Attributes:
        slots: ``(L, R)`` int64, the placement.
        cpu_s: CPU seconds that it took.
    """

    slots: np.ndarray
    cpu_s: float


@dataclass(frozen=True, slots=True)
class _Trial:
    """A program on one trace, by pair of a window and the next.

    Attributes:
        scenario: Which, on which machines.
        gpu_load: ``(V, L, D)`` in the next window.
        balances: V of them, in the next window.
        cpu_s: Of the calls but the first.
        wasted: Replicas per layer that lie beside another of their expert.
        nodes: Over how many nodes a group of experts is spread.
    """

    scenario: Scenario
    gpu_load: np.ndarray
    balances: Sequence[Balance]
    cpu_s: Sequence[float]
    wasted: float
    nodes: float


class AdrsLeaderboard:
    """Scores programs that define ``rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus)``."""

    def __init__(self, config: ProblemConfig, folder: Path) -> None:
        """Prepares.

        Args:
            config: Traces and machines; of its rules, ``keep_groups`` counts.
            folder: The task's.

        Raises:
            ConfigError: If a rule is set that the leaderboard has not.
        """
        for rule in ("routed", "count_planning"):
            if getattr(config.rules, rule):
                raise ConfigError(
                    f"rules.{rule}: rebalance_experts() is not asked how to route, and its time counts in any case; leave it out"
                )
        self.problem = Problem(config, folder)

    @cached_property
    def searched(self) -> list[Scenario]:
        """What searches are scored by."""
        return self.problem.scenarios("search", range(self.problem.config.searched))

    def smoke(self, program: IsolatedProgram) -> None:
        """Asks for one placement."""
        _ask(program, self.searched[0], 0)

    def evaluate(self, program: IsolatedProgram) -> Score:
        """Scores the traces of searches."""
        return _score(program, self.searched)

    def paired(self, program: IsolatedProgram, seed: int) -> Score:
        """Scores traces that no search uses, other ones for every seed."""
        return _score(program, self.problem.scenarios("validation", range(seed, seed + 1)))

    def holdout(self, program: IsolatedProgram) -> Score:
        """Scores the hidden traces."""
        return _score(program, self.problem.scenarios("hidden", range(self.problem.config.hidden)))


def _score(program: IsolatedProgram, scenarios: Sequence[Scenario]) -> Score:
    trials = [_trial(program, scenario) for scenario in scenarios]
    seconds = _typical([cpu_s for trial in trials for cpu_s in trial.cpu_s])
    reference_s = _reference_s(program, scenarios[0])
    gpu = {trial.scenario.trace.name: float(np.mean([one.gpu for one in trial.balances])) for trial in trials}
    balanced = float(np.mean(list(gpu.values())))
    by_expert = float(np.mean([one.expert for trial in trials for one in trial.balances]))
    objective = adrs_leaderboard(balanced, seconds)
    return Score(
        objective,
        metrics={
            "balancedness_gpu": Metric(balanced, Direction.MAXIMIZE),
            "balancedness_expert": Metric(by_expert, Direction.MAXIMIZE),
            "plan_ms": Metric(1e3 * seconds, Direction.MINIMIZE),
            "speed": Metric(speed(seconds, reference_s), Direction.MAXIMIZE),
            "openevolve": openevolve(by_expert, seconds),
            "skydiscover": skydiscover(by_expert, seconds),
            "wasted": float(np.mean([trial.wasted for trial in trials])),
            "nodes_per_group": float(np.mean([trial.nodes for trial in trials])),
        },
        feedback=_told(balanced, by_expert, seconds, reference_s),
        figure=lambda path: _draw(path, trials[0]),
        instances=gpu,
    )


def _draw(path: str, trial: _Trial) -> None:
    """Draws the last window, under no plan and under the program's."""
    scenario = trial.scenario
    load = scenario.trace.load[-1].astype(np.float64)
    bound = lower_bound(load, scenario.cluster.gpus, scenario.cluster.slots)
    title = f"Loads of GPUs in the last window ({scenario.trace.name})"
    draw_gpu_loads(path, scenario.unplanned(load), trial.gpu_load[-1], bound, title)


def _trial(program: IsolatedProgram, scenario: Scenario) -> _Trial:
    trace, cluster = scenario.trace, scenario.cluster
    windows = range(trace.windows - 1)
    answers = [_ask(program, scenario, window) for window in windows]
    _check_repeats(program, scenario, [answer.slots for answer in answers])
    loads = []
    for window, answer in zip(windows, answers, strict=True):
        load, share = trace.load[window + 1].astype(np.float64), uniform_share(answer.slots, trace.experts)
        check_conserved(load, answer.slots, share)
        loads.append(slot_load(load, answer.slots, share))
    spread = [nodes_per_group(answer.slots, cluster, trace.experts, trace.groups) for answer in answers]
    return _Trial(
        scenario,
        gpu_load=np.stack([load.reshape(trace.layers, cluster.gpus, -1).sum(-1) for load in loads]),
        balances=[balance(load, cluster.gpus) for load in loads],
        # The first call warms up: it pays for imports and first uses.
        cpu_s=[answer.cpu_s for answer in answers[1:]] or [answers[0].cpu_s],
        wasted=float(np.mean([wasted(answer.slots, cluster) for answer in answers])),
        nodes=float(np.mean(spread)),
    )


def _ask(program: IsolatedProgram, scenario: Scenario, window: int) -> _Answer:
    trace, cluster = scenario.trace, scenario.cluster
    weight = trace.load[window].astype(np.float64)
    weight.setflags(write=False)
    begun_s = program.cpu_s
    answer = program.call("rebalance_experts", weight, cluster.slots, trace.groups, cluster.nodes, cluster.gpus)
    cpu_s = program.cpu_s - begun_s
    with located(scenario, window):
        slots = check_maps(split_maps(answer), trace.layers, cluster.slots, trace.experts)
        return _Answer(scenario.checked(slots), cpu_s)


def _check_repeats(program: IsolatedProgram, scenario: Scenario, answers: Sequence[np.ndarray]) -> None:
    """Asks a second process about all windows, the last one first.

    Were it asked about some alone, a program could compute in these, and save its time in the others.

    Raises:
        Invalid: If it answers otherwise, or fails.
    """
    witness = program.sibling(program.files)
    with asked_again():
        for window in range(len(answers) - 1, -1, -1):
            if (_ask(witness, scenario, window).slots != answers[window]).any():
                raise Invalid(
                    f"trace {scenario.trace.name}, window {window}: asked again in a fresh process with the same loads, "
                    "rebalance_experts() placed otherwise; it must depend on its arguments alone"
                )


def _reference_s(program: IsolatedProgram, scenario: Scenario) -> float:
    """CPU seconds of the reference's calls on the same machine, in a sandbox like the program's."""
    sibling = program.sibling({next(iter(program.files)): source(REFERENCE[0], entry=REFERENCE[1])})
    calls = range(min(_REFERENCE_CALLS, scenario.trace.windows))
    return median([_ask(sibling, scenario, window).cpu_s for window in calls][1:])


def _typical(seconds: Sequence[float]) -> float:
    """The median, which a hiccup of the machine does not move, where most calls take about as long; half of the mean where not."""
    return max(median(seconds), mean(seconds) / 2)


def _told(balanced: float, by_expert: float, seconds: float, reference_s: float) -> str:
    return (
        f"balancedness of GPUs {balanced:.4f} (90 points times that), of experts {by_expert:.4f}; {1e3 * seconds:.2f} ms of CPU "
        f"per call, {reference_s / seconds:.1f} times as fast as DeepSeek's policy here ({1e3 * reference_s:.1f} ms)"
    )
