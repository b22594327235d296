"""The best placement of a small layer, proven: a mixed-integer program, for tests and for the truth about small cases.

Replicas share their expert's load evenly, as in `bounds.lower_bound`; nodes and groups do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evolve.evaluators.placement.bounds import lower_bound, replicate

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint

#: Largest layer that is tried: beyond it, minutes end with what `bounds` says in no time.
MOST_GPUS, MOST_EXPERTS = 8, 32

#: Loads within so much of each other, relatively, are the same: the solver's tolerance.
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class SolverConfig:
    """When to stop looking for a better placement.

    Attributes:
        limit_s: Seconds for the solver; what it has by then is the answer. A limit that is reached makes the answer depend on the
            machine.
        gap: Share of the load of the hottest GPU that may remain between the placement and the proven bound.
    """

    limit_s: float = 60.0
    gap: float = _SAME

    def __post_init__(self) -> None:
        if not self.limit_s > 0:
            raise ValueError(f"limit_s must be > 0, got {self.limit_s}")
        if not 0 <= self.gap < 1:
            raise ValueError(f"gap must be in [0, 1), got {self.gap}")


class ExactPlacement(NamedTuple):
    """The best placement that was found, and how good any could be.

    Attributes:
        slots: ``(R,)`` int64 expert in each slot, ascending on each GPU; slot r lies on GPU r // (R / D).
        hottest: Load of the hottest GPU.
        proven: No placement's hottest GPU has less.
        optimal: Whether `hottest` is within the configured gap of `proven`.
    """

    slots: np.ndarray
    hottest: float
    proven: float
    optimal: bool


class _Choices(NamedTuple):
    """What the program decides: on each GPU, how many replicas of which expert, if that has so many of them in all.

    Attributes:
        expert: ``(C,)`` expert of each choice.
        total: ``(C,)`` replicas that the expert has in all.
        heat: ``(C,)`` load of each of them.
    """

    expert: np.ndarray
    total: np.ndarray
    heat: np.ndarray


def best_placement(load: np.ndarray, gpus: int, slots: int, config: SolverConfig | None = None) -> ExactPlacement:
    """Finds numbers of replicas and a placement with the coldest hottest GPU.

    A variable x[e, c, g] counts the replicas of expert e on GPU g if it has c in all, and a switch y[e, c] says which c it is, so
    that loads w / c are constants and the program is linear. The solver begins between `bounds.lower_bound` and what swaps reach.
    Eight experts in 12 slots on 4 GPUs take seconds; of 32 in 40 on 8 a minute leaves some 1 %.

    Args:
        load: ``(E,)`` load of each expert of a layer, >= 0; at most `MOST_EXPERTS`.
        gpus: D, at most `MOST_GPUS`.
        slots: R, a multiple of D.
        config: When to stop; a minute by default.

    Raises:
        ValueError: If the layer is too large, a load is negative or not finite, there are fewer slots than experts, or D does not
            divide R.
    """
    config = config or SolverConfig()
    loads = np.asarray(load, dtype=np.float64)
    if loads.ndim != 1 or len(loads) > MOST_EXPERTS or gpus > MOST_GPUS:
        raise ValueError(
            f"exact placement takes one layer of at most {MOST_EXPERTS} experts on at most {MOST_GPUS} GPUs, "
            f"got loads of shape {loads.shape} on {gpus} GPUs; for larger ones there is bounds.lower_bound"
        )
    proven = float(lower_bound(loads, gpus, slots))
    best = _swapped(loads, _longest_first(loads, gpus, slots))
    hottest = _hottest(loads, best)
    if hottest - proven > config.gap * hottest:
        found, bound = _solve(loads, (gpus, slots), (proven, hottest), config)
        proven = max(proven, bound)
        if found is not None and _hottest(loads, found) < hottest:
            best, hottest = found, _hottest(loads, found)
    flat = np.concatenate([np.repeat(np.arange(len(loads)), row) for row in best])
    proven = min(proven, hottest)
    return ExactPlacement(flat, hottest, proven, hottest - proven <= (config.gap + 2 * _SAME) * hottest)


def _hottest(loads: np.ndarray, held: np.ndarray) -> float:
    """Load of the hottest GPU, where ``held (D, E)`` says how often each expert lies on each GPU."""
    return float((held * (loads / held.sum(0))).sum(1).max())


def _longest_first(loads: np.ndarray, gpus: int, slots: int) -> np.ndarray:
    """``(D, E)`` placement of greedily replicated experts, hottest replica first to the coldest GPU with room (Graham 1969)."""
    counts = replicate(loads, slots)
    held = np.zeros((gpus, len(loads)), np.int64)
    heat = loads / counts
    for expert in np.repeat(np.arange(len(loads)), counts)[np.argsort(-np.repeat(heat, counts), kind="stable")]:
        open_to = np.where(held.sum(1) < slots // gpus, held @ heat, np.inf)
        held[open_to.argmin(), expert] += 1
    return held


def _swapped(loads: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Swaps a replica of the hottest GPU for a colder one elsewhere, the best swap first, until none helps."""
    heat = loads / held.sum(0)
    held = held.copy()
    while True:
        totals = held @ heat
        hottest = int(totals.argmax())
        # relief[g, a, b]: how far a for b with GPU g brings the hotter of the two below what the hottest has.
        shift = heat[:, None] - heat
        relief = np.minimum(shift, totals[hottest] - totals[:, None, None] - shift)
        relief[~((held[hottest] > 0)[:, None] & (held > 0)[:, None])] = 0
        gpu, out, back = (int(i) for i in np.unravel_index(relief.argmax(), relief.shape))
        # Swaps worth no more than rounding could go round in circles.
        if relief[gpu, out, back] <= 1e-12 * totals[hottest]:
            return held
        held[hottest, [out, back]] += (-1, 1)
        held[gpu, [out, back]] += (1, -1)


def _solve(
    loads: np.ndarray, size: tuple[int, int], between: tuple[float, float], config: SolverConfig
) -> tuple[np.ndarray | None, float]:
    """Returns the ``(D, E)`` placement that the solver has when it stops, if any, and its bound.

    Args:
        loads: ``(E,)``.
        size: GPUs and slots.
        between: What is proven already, and what is reached already.
        config: When to stop.
    """
    from scipy.optimize import Bounds, milp  # a third of a second to import, and only needed for small cases

    gpus, slots = size
    scale = loads.sum() / gpus  # the solver's tolerances are absolute
    proven, reached = between[0] / scale * (1 - _SAME), between[1] / scale * (1 + _SAME)
    choices = _choices(loads / scale, slots, reached)
    n = len(choices.expert)
    objective = np.zeros(n * gpus + n + 1)
    objective[-1] = 1
    highest = np.concatenate([np.repeat(np.minimum(choices.total, slots // gpus), gpus), np.ones(n), [reached]])
    found = milp(
        objective,
        integrality=np.concatenate([np.ones(n * gpus + n), [0]]),
        bounds=Bounds(np.concatenate([np.zeros(n * gpus + n), [proven]]), highest),
        constraints=_constraints(choices, len(loads), gpus, slots),
        options={"time_limit": config.limit_s, "mip_rel_gap": config.gap},
    )
    bound = found.mip_dual_bound
    # Stopped before the first relaxation, the solver has no bound, or minus infinity.
    bound = float(bound) * scale * (1 - _SAME) if bound is not None and np.isfinite(bound) else 0.0
    if found.x is None:
        return None, bound
    replicas = np.rint(found.x[: n * gpus]).astype(np.int64).reshape(n, gpus)
    held = np.zeros((len(loads), gpus), np.int64)
    np.add.at(held, choices.expert, replicas)
    fits = (held.sum(0) == slots // gpus).all() and (held.sum(1) > 0).all()
    return (held.T if fits else None), bound


def _choices(loads: np.ndarray, slots: int, reached: float) -> _Choices:
    """All numbers of replicas but those whose replicas alone are hotter than what is reached already."""
    experts, counts = np.divmod(np.arange(len(loads) * (slots - len(loads) + 1)), slots - len(loads) + 1)
    counts += 1
    heat = loads[experts] / counts
    cool = heat <= reached
    return _Choices(experts[cool], counts[cool], heat[cool])


def _constraints(choices: _Choices, experts: int, gpus: int, slots: int) -> list[LinearConstraint]:
    """One number of replicas for each expert, all of them placed, every slot taken, and no GPU hotter than the last variable."""
    from scipy.optimize import LinearConstraint  # see above
    from scipy.sparse import csr_array, diags_array, eye_array, hstack, kron

    n = len(choices.expert)
    which = csr_array((np.ones(n), (choices.expert, np.arange(n))), shape=(experts, n))
    counts = diags_array(choices.total.astype(np.float64))
    each_gpu = eye_array(gpus)
    return [
        LinearConstraint(hstack([csr_array((experts, n * gpus)), which, csr_array((experts, 1))]), 1, 1),
        LinearConstraint(hstack([kron(eye_array(n), np.ones((1, gpus))), -counts, csr_array((n, 1))]), 0, 0),
        LinearConstraint(hstack([kron(np.ones((1, n)), each_gpu), csr_array((gpus, n + 1))]), slots // gpus, slots // gpus),
        LinearConstraint(hstack([kron(choices.heat[None], each_gpu), csr_array((gpus, n)), -np.ones((gpus, 1))]), -np.inf, 0),
    ]
