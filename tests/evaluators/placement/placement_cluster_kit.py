"""Small clusters and placements, drawn for properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from evolve.evaluators.placement.cluster import CLUSTERS, Cluster

#: Two nodes of two GPUs with two slots each; every rate is 1 and every size too, so that costs are counts.
UNIT = Cluster(
    nodes=2,
    gpus=4,
    slots=8,
    nvlink_bytes_s=1.0,
    network_bytes_s=1.0,
    latency_s=0.0,
    flops=1.0,
    memory_bytes_s=1.0,
    expert_bytes=1.0,
    hidden=1,
    dispatch_bytes=1.0,
    combine_bytes=1.0,
    flops_per_token=1.0,
)


def sized(cluster: Cluster = UNIT, **changes: float) -> Cluster:
    """The cluster with other numbers."""
    return replace(cluster, **changes)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """Up to 3 nodes of 3 GPUs with 4 slots each, at the rates of a preset or at those that make one of the costs rule."""
    nodes, gpus, slots = (draw(st.integers(1, most)) for most in (3, 3, 4))
    rates = draw(st.sampled_from([*CLUSTERS.values(), UNIT, sized(memory_bytes_s=0.01), sized(network_bytes_s=0.1)]))
    overlap = draw(st.sampled_from([0.0, 0.5, 1.0]))
    return replace(rates, nodes=nodes, gpus=nodes * gpus, slots=nodes * gpus * slots, overlap=overlap)


def drawn_slots(rng: np.random.Generator, layers: int, slots: int, experts: int) -> np.ndarray:
    """``(layers, slots)``: every expert once, the other slots at random, in random order."""
    extra = rng.integers(0, experts, (layers, slots - experts))
    return rng.permuted(np.concatenate([np.tile(np.arange(experts), (layers, 1)), extra], 1), axis=1)


def drawn_share(rng: np.random.Generator, slots: np.ndarray) -> np.ndarray:
    """A share with zeros among it."""
    weight = rng.random(slots.shape) * (rng.random(slots.shape) < 0.7) + 1e-9
    same = slots[:, :, None] == slots[:, None, :]
    return weight / np.where(same, weight[:, None, :], 0.0).sum(-1)


def drawn_tokens(rng: np.random.Generator, layers: int, n: int, experts: int, k: int) -> np.ndarray:
    """``(layers, n, k)``: k different experts for each token."""
    return rng.random((layers, n, experts)).argsort(-1)[..., :k].astype(np.int16)
