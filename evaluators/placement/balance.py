"""How evenly a placement loads GPUs and slots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evolve.evaluators.moe.metrics import max_violation


class Balance(NamedTuple):
    """How even the loads of one window are.

    Attributes:
        gpu: Balancedness of GPUs, see `balancedness`.
        expert: Balancedness of slots (EPLB's physical experts), which no placement changes but by its numbers of replicas.
        max_vio: How much more than the mean the busiest GPU has, mean over layers.
    """

    gpu: float
    expert: float
    max_vio: float


def balancedness(loads: np.ndarray) -> float:
    """The mean load of each layer, summed over layers, divided by the largest load of each layer, summed over layers.

    Source: the scorer of ADRS (arXiv 2510.06189); 1 if all are equal, 1 / X if one has everything.

    Args:
        loads: ``(L, X)``, of GPUs or of slots.

    Raises:
        ValueError: If there is no load.
    """
    largest = float(loads.max(-1).sum())
    if not largest > 0:
        raise ValueError("balancedness needs a load above 0 in some layer")
    return float(loads.mean(-1).sum()) / largest


def balance(slot_loads: np.ndarray, gpus: int) -> Balance:
    """How even the loads of one window are.

    Args:
        slot_loads: ``(L, R)``, see `evolve.evaluators.placement.placement.slot_load`; no layer without load.
        gpus: D.
    """
    per_gpu = slot_loads.reshape(len(slot_loads), gpus, -1).sum(-1)
    return Balance(balancedness(per_gpu), balancedness(slot_loads), max_violation(per_gpu))
