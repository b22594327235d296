"""What a second process of a policy's program is asked: does it repeat, and what would it do if it knew the future?

The second process is asked after all of the first one's answers are in, and in another order, so that nothing that it sees of the
future can reach them, and nothing that was kept from call to call goes unnoticed. Every window has to repeat: were it some alone, a
program could be honest in just these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.evaluators.base import Invalid, IsolatedProgram, asked_again
from evolve.evaluators.placement.bounds import lower_bound, lower_bound_any_routing
from evolve.evaluators.placement.gaps import Gaps, split_gap
from evolve.evaluators.placement.placement import gpu_load
from evolve.evaluators.placement.policy import Policy, ProgramPolicy
from evolve.evaluators.placement.scenario import Moment, Scenario, located
from evolve.evaluators.placement.simulator import Replay, share_of

_AGAIN = "asked again in a fresh process, "

#: What to do about an answer that does not repeat.
_ALONE = "it must depend on its arguments alone: keep nothing from call to call, and give generators of random numbers a fixed seed"


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of it.

    Attributes:
        windows: Which of the windows that count it was asked about with foresight, by their place among them.
        actual: ``(n, L)`` busiest GPU's load under the policy's placements.
        oracle: ``(n, L)`` the same had it been shown the window itself for all of its history.
        bound: ``(n, L)`` what no placement can be below.
    """

    windows: tuple[int, ...]
    actual: np.ndarray
    oracle: np.ndarray
    bound: np.ndarray

    @property
    def gaps(self) -> Gaps:
        """How far from the bound, and why."""
        return split_gap(self.actual, self.oracle, self.bound)


def examine(witness: Policy, scenario: Scenario, replayed: Replay, windows: Sequence[int]) -> Examination:
    """Asks a policy once more.

    Args:
        witness: The policy in a process that has seen nothing of the replay.
        scenario: What was replayed.
        replayed: What came of it.
        windows: In which of the windows that count, by their place among them, it is asked with foresight; at least one.

    Raises:
        Invalid: If it plans or routes otherwise than it did, or no placement; the message says in which window.
        ProgramFailed: If the program fails.
    """
    known = list(scenario.moments)
    oracle: dict[int, np.ndarray] = {}
    if scenario.rules.routed:
        # Before any plan of this trace, or plan() could keep for route() what that is not shown.
        for place in reversed(range(len(known))):
            with located(scenario, known[place].window, _AGAIN):
                _check_routes_again(witness, scenario, known[place], replayed, place)
    for place in reversed(range(len(known))):
        before = replayed.slots[place - 1].astype(np.int64) if place else scenario.start
        with located(scenario, known[place].window, _AGAIN):
            _check_repeats(witness, scenario, known[place], before, replayed.slots[place])
            if place in windows:
                oracle[place] = _with_foresight(witness, scenario, known[place], before)
    order = sorted(windows)
    least = lower_bound_any_routing if scenario.rules.routed else lower_bound
    bounds = [least(scenario.load_of(known[place]), scenario.cluster.gpus, scenario.cluster.slots) for place in order]
    return Examination(
        tuple(order),
        actual=np.stack([replayed.gpu_load[place].max(-1) for place in order]),
        oracle=np.stack([oracle[place] for place in order]),
        bound=np.stack(bounds),
    )


def examine_program(program: IsolatedProgram, replays: Sequence[tuple[Scenario, Replay]], every: int) -> list[Examination]:
    """Asks a program about replays in one fresh process, the last of them first.

    Args:
        program: What was replayed.
        replays: What it was asked, and what came of it.
        every: It is asked with foresight in every so many of the windows that count, in the last one always.

    Raises:
        Invalid: As `examine` does, or if the program fails in the fresh process.
    """
    witness = program.sibling(program.files)
    found = []
    with asked_again():
        for scenario, replayed in reversed(replays):
            windows = range(len(replayed.slots) - 1, -1, -every)
            found.append(examine(ProgramPolicy(witness, scenario.facts), scenario, replayed, windows))
    return found[::-1]


def _check_repeats(witness: Policy, scenario: Scenario, moment: Moment, before: np.ndarray, slots: np.ndarray) -> None:
    again = scenario.checked(witness.plan(moment.history, moment.seen, before))
    if (again != slots).any():
        layer, slot = np.argwhere(again != slots)[0]
        raise Invalid(
            f"with the same history and slots, plan() put expert {again[layer, slot]} and not {slots[layer, slot]} in slot {slot} "
            f"of layer {layer}; {_ALONE}"
        )


def _check_routes_again(witness: Policy, scenario: Scenario, moment: Moment, replayed: Replay, place: int) -> None:
    slots = replayed.slots[place].astype(np.int64)
    again = gpu_load(scenario.load_of(moment), slots, share_of(witness, scenario, moment, slots), scenario.cluster.gpus)
    differs = ~np.isclose(again, replayed.gpu_load[place], rtol=1e-9, atol=0)
    if differs.any():
        layer, gpu = np.argwhere(differs)[0]
        raise Invalid(
            f"with the same load and slots, route() gave GPU {gpu} of layer {layer} {again[layer, gpu]:.6g} and not "
            f"{replayed.gpu_load[place][layer, gpu]:.6g} choices in a step; {_ALONE}"
        )


def _with_foresight(witness: Policy, scenario: Scenario, moment: Moment, before: np.ndarray) -> np.ndarray:
    """``(L,)`` the busiest GPU's load, had every window of the history been like the one that came."""
    future = np.ascontiguousarray(np.broadcast_to(moment.load, moment.history.shape))
    slots = scenario.checked(witness.plan(future, moment.seen, before))
    share = share_of(witness, scenario, moment, slots)
    return np.asarray(gpu_load(scenario.load_of(moment), slots, share, scenario.cluster.gpus).max(-1))
