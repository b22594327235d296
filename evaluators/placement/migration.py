"""What it costs to go from one placement to another: weights that have to be copied, and over which links."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evolve.evaluators.placement.cluster import Cluster


class Moves(NamedTuple):
    """Weights that GPUs fetch for a new placement, of all layers together.

    Attributes:
        slots: Experts that a GPU fetches from elsewhere; one that it fetches for two of its slots counts once.
        intra_bytes: Fetched over NVLink.
        inter_bytes: Fetched over the network.
        seconds: Of the GPU that fetches longest, with nothing else on its links.
    """

    slots: int
    intra_bytes: float
    inter_bytes: float
    seconds: float


def moved(before: np.ndarray, after: np.ndarray, cluster: Cluster, experts: int) -> Moves:
    """What has to be fetched.

    A slot costs nothing if its GPU holds the expert already, in whatever slot; it costs NVLink bytes if another GPU of its node
    does, and network bytes otherwise. Each GPU fetches for itself, and those that are asked are taken to keep up: an expert that
    many GPUs need can be handed on.

    Args:
        before: ``(L, R)``.
        after: ``(L, R)``.
        cluster: Where the slots lie.
        experts: E.

    Raises:
        ValueError: If the placements have different shapes.
    """
    if before.shape != after.shape:
        raise ValueError(f"before has shape {before.shape} but after has shape {after.shape}")
    held = _held(before, cluster, experts)
    fetched = _held(after, cluster, experts) & ~held
    near = fetched & held.any(2, keepdims=True)
    intra = near.sum((0, 3)).ravel() * float(cluster.expert_bytes)
    inter = fetched.sum((0, 3)).ravel() * float(cluster.expert_bytes) - intra
    seconds = intra / cluster.nvlink_bytes_s + inter / cluster.network_bytes_s
    return Moves(int(np.count_nonzero(fetched)), float(intra.sum()), float(inter.sum()), float(seconds.max()))


def _held(slots: np.ndarray, cluster: Cluster, experts: int) -> np.ndarray:
    """Which experts each GPU holds: ``(L, N, D / N, E)`` bool."""
    held = np.zeros((len(slots), cluster.gpus, experts), dtype=bool)
    held[np.arange(len(slots))[:, None], np.arange(slots.shape[1]) // cluster.slots_per_gpu, slots] = True
    return held.reshape(len(slots), cluster.nodes, cluster.gpus_per_node, experts)
