"""Replays a trace: what each window would have cost under the placement that a policy planned before it.

In window t a policy has seen the loads of the windows before, and its placement is in force while the loads of t arrive. Experts
that change their place are copied between the windows, while nothing else runs; that time is shared out over the window's steps.
All steps of a window are taken to have its mean load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evolve.evaluators.placement.cost import ideal_step, step_cost
from evolve.evaluators.placement.migration import moved
from evolve.evaluators.placement.placement import check_conserved, check_share, slot_load, uniform_share, wasted
from evolve.evaluators.placement.policy import Policy
from evolve.evaluators.placement.scenario import Moment, Scenario, located


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a trace, by window that counted (V of them).

    Attributes:
        slots: ``(V, L, R)`` placements.
        gpu_load: ``(V, L, D)`` choices that arrive at each GPU in a step.
        busiest_slot: ``(V, L)`` choices that arrive at the busiest replica.
        step_s: ``(V,)`` seconds of a step through all layers.
        ideal_s: ``(V,)`` what no placement and no routing can be below.
        compute_s: ``(V,)`` of the step, the slowest GPUs' computation.
        communication_s: ``(V,)`` of the step, dispatch and combine, whether hidden or not.
        move_s: ``(V,)`` seconds of copying experts before the window.
        moved_slots: ``(V,)`` slots that got another expert from another GPU.
        intra_bytes: ``(V,)`` copied within nodes.
        inter_bytes: ``(V,)`` copied between nodes.
        plan_s: ``(V,)`` CPU seconds of the policy.
        wasted: ``(V,)`` replicas beside another one of their expert on the same GPU, per layer.
        steps_per_window: Steps that copying, and planning where it counts, are shared out over.
        count_planning: Whether planning counts.
    """

    slots: np.ndarray
    gpu_load: np.ndarray
    busiest_slot: np.ndarray
    step_s: np.ndarray
    ideal_s: np.ndarray
    compute_s: np.ndarray
    communication_s: np.ndarray
    move_s: np.ndarray
    moved_slots: np.ndarray
    intra_bytes: np.ndarray
    inter_bytes: np.ndarray
    plan_s: np.ndarray
    wasted: np.ndarray
    steps_per_window: int
    count_planning: bool

    @property
    def charged_s(self) -> np.ndarray:
        """``(V,)`` seconds of a step with its part of what rebalancing took."""
        rebalancing = self.move_s + (self.plan_s if self.count_planning else 0.0)
        return np.asarray(self.step_s + rebalancing / self.steps_per_window)

    @property
    def ratio(self) -> float:
        """Ideal over charged seconds of all windows; in (0, 1]."""
        # Rounding may put a step that reaches the bound below it.
        return min(1.0, float(self.ideal_s.sum() / self.charged_s.sum()))


def replay(policy: Policy, scenario: Scenario) -> Replay:
    """Asks a policy before every window and charges what its answer costs.

    Args:
        policy: Is asked in the order of time, and never sees a window before its placement counts.
        scenario: What it is asked about.

    Raises:
        Invalid: If an answer is no placement, or no sharing out; the message says in which window.
        ProgramFailed: If the program fails.
    """
    current = scenario.start
    windows = []
    for moment in scenario.moments:
        begun_s = policy.cpu_s
        answer = policy.plan(moment.history, moment.seen, current)
        plan_s = policy.cpu_s - begun_s
        with located(scenario, moment.window):
            slots = scenario.checked(answer)
            share = share_of(policy, scenario, moment, slots)
        windows.append(_charge(scenario, moment, current, slots, share) | {"plan_s": plan_s})
        current = slots
    columns = {name: np.array([window[name] for window in windows]) for name in windows[0]}
    return Replay(**columns, steps_per_window=scenario.trace.steps_per_window, count_planning=scenario.rules.count_planning)


def share_of(policy: Policy, scenario: Scenario, moment: Moment, slots: np.ndarray) -> np.ndarray:
    """Says which part of its expert's tokens each slot gets in a window: as the policy has it, or evenly where it is not asked.

    Returns:
        ``(L, R)`` float64.

    Raises:
        Invalid: If what the policy says is no sharing out.
        ProgramFailed: If the program fails.
    """
    if not scenario.rules.routed:
        return uniform_share(slots, scenario.trace.experts)
    return check_share(policy.route(moment.load, slots), slots)


def _charge(
    scenario: Scenario, moment: Moment, before: np.ndarray, slots: np.ndarray, share: np.ndarray
) -> dict[str, np.ndarray | float]:
    """One window's entries of a `Replay`, but for the time of planning."""
    trace, cluster, load = scenario.trace, scenario.cluster, scenario.load_of(moment)
    check_conserved(load, slots, share)
    arrived = slot_load(load, slots, share)
    cost = step_cost(cluster, slots, share, load, moment.tokens)
    moves = moved(before, slots, cluster, trace.experts)
    return {
        "slots": slots.astype(np.int32),
        "gpu_load": arrived.reshape(trace.layers, cluster.gpus, -1).sum(-1),
        "busiest_slot": arrived.max(-1),
        "step_s": cost.seconds,
        "ideal_s": float(ideal_step(cluster, load, 1 if moment.tokens is None else trace.k).sum()),
        "compute_s": float(cost.compute.sum()),
        "communication_s": float((cost.dispatch + cost.combine).sum()),
        "move_s": moves.seconds,
        "moved_slots": float(moves.slots),
        "intra_bytes": moves.intra_bytes,
        "inter_bytes": moves.inter_bytes,
        "wasted": float(wasted(slots, cluster).mean()),
    }
