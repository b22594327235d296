"""Numbers of replayed traces: what tables, prompts and people are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evolve.evaluators.base import Direction, Metric
from evolve.evaluators.placement.examined import Examination
from evolve.evaluators.placement.scenario import Scenario
from evolve.evaluators.placement.simulator import Replay

#: Metrics of which one wants more; and less. All others describe.
_MAXIMISED = ("balancedness_gpu", "balancedness_expert")
_MINIMISED = ("max_violation", "step_ms", "step_p95_ms", "charged_ms", "moved_gb", "plan_ms", "gap")


class Trial(NamedTuple):
    """A policy on one trace.

    Attributes:
        scenario: Which, on which machines.
        replay: What came of it.
        examination: What the policy did in a second process.
    """

    scenario: Scenario
    replay: Replay
    examination: Examination


def metrics_of(trials: Sequence[Trial]) -> dict[str, float | Metric]:
    """Means over all windows of a trace, and then over traces, which may have different numbers of windows and layers.

    Of a step, in milliseconds: ``step_ms``, its 95th percentile, ``charged_ms`` with what rebalancing took, ``compute_ms``,
    ``communication_ms``, and the bound ``ideal_ms``. Of a window: ``moved_gb``, ``moved_between_nodes_gb``, ``moved_slots``,
    ``plan_ms`` (median CPU time of a plan). Of a layer: ``wasted`` replicas, that lie beside another of their expert. Of the load:
    ``balancedness_gpu``, ``balancedness_expert``, ``max_violation`` (busiest GPU over the mean, less 1), and the ``gap`` to the
    bound with its parts ``gap_forecast`` and ``gap_packing``.
    """
    found = {"balancedness_gpu": _balancedness(trials), "balancedness_expert": _expert_balancedness(trials)}
    found |= {"max_violation": _max_violation(trials), "wasted": _mean(trials, "wasted")}
    found |= _steps(trials) | _moves(trials) | _gaps(trials)
    return {name: _directed(name, value) for name, value in found.items()}


def feedback(trials: Sequence[Trial]) -> str:
    """What the next prompt should say of a policy, trace by trace."""
    return "\n".join(_told(trial) for trial in trials)


def _told(trial: Trial) -> str:
    replayed, gap = trial.replay, trial.examination.gaps.overall()
    step, compute, communication = (
        1e3 * float(series.mean()) for series in (replayed.charged_s, replayed.compute_s, replayed.communication_s)
    )
    moving = 1e3 * float(replayed.move_s.mean()) / replayed.steps_per_window
    return (
        f"{trial.scenario.trace.name}: ratio {replayed.ratio:.4f}, step {step:.3f} ms (computing {compute:.3f}, communicating "
        f"{communication:.3f}, copying experts {moving:.3f}; ideal {1e3 * float(replayed.ideal_s.mean()):.3f}); "
        f"{replayed.moved_slots.mean():.0f} of {replayed.slots[0].size} slots moved per window; the busiest GPU is {gap.total:.1%} "
        f"above the bound: {gap.forecast:.1%} as loads were not foreseen, {gap.packing:.1%} as experts could lie better"
    )


def _steps(trials: Sequence[Trial]) -> dict[str, float]:
    names = {"step_ms": "step_s", "charged_ms": "charged_s", "ideal_ms": "ideal_s"}
    names |= {"compute_ms": "compute_s", "communication_ms": "communication_s"}
    every = np.concatenate([trial.replay.step_s for trial in trials])
    found = {name: 1e3 * _mean(trials, series) for name, series in names.items()}
    return found | {"step_p95_ms": 1e3 * float(np.quantile(every, 0.95))}


def _moves(trials: Sequence[Trial]) -> dict[str, float]:
    between = _mean(trials, "inter_bytes")
    return {
        "moved_gb": 1e-9 * (between + _mean(trials, "intra_bytes")),
        "moved_between_nodes_gb": 1e-9 * between,
        "moved_slots": _mean(trials, "moved_slots"),
        "plan_ms": 1e3 * float(np.median(np.concatenate([trial.replay.plan_s for trial in trials]))),
    }


def _gaps(trials: Sequence[Trial]) -> dict[str, float]:
    gaps = [trial.examination.gaps.overall() for trial in trials]
    parts = {"gap": "total", "gap_forecast": "forecast", "gap_packing": "packing"}
    return {name: float(np.mean([getattr(gap, part) for gap in gaps])) for name, part in parts.items()}


def _balancedness(trials: Sequence[Trial]) -> float:
    loads = [trial.replay.gpu_load for trial in trials]
    return float(np.mean([np.mean(load.mean(-1).sum(-1) / load.max(-1).sum(-1)) for load in loads]))


def _expert_balancedness(trials: Sequence[Trial]) -> float:
    replays = [trial.replay for trial in trials]
    means = [replayed.gpu_load.sum((-2, -1)) / replayed.slots.shape[-1] for replayed in replays]
    return float(np.mean([np.mean(one / replayed.busiest_slot.sum(-1)) for one, replayed in zip(means, replays, strict=True)]))


def _max_violation(trials: Sequence[Trial]) -> float:
    loads = [trial.replay.gpu_load for trial in trials]
    return float(np.mean([np.mean(load.max(-1) / load.mean(-1) - 1) for load in loads]))


def _mean(trials: Sequence[Trial], series: str) -> float:
    return float(np.mean([getattr(trial.replay, series).mean() for trial in trials]))


def _directed(name: str, value: float) -> float | Metric:
    if name in _MAXIMISED:
        return Metric(value, Direction.MAXIMIZE)
    return Metric(value, Direction.MINIMIZE) if name in _MINIMISED else value
