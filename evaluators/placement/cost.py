"""The time that a step of a mixture takes on a cluster, by layer.

A layer sends its tokens to their experts (dispatch), computes, and sends the results back (combine); each ends when its slowest GPU
or link has. Computation is bound by arithmetic or, with few tokens, by reading the weights of the experts that any token came to:
a GPU saves by holding few distinct ones (METRO, arXiv 2512.09277).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evolve.evaluators.placement.cluster import Cluster
from evolve.evaluators.placement.placement import slot_load
from evolve.evaluators.placement.traffic import deduplicated, traffic


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step costs; seconds of each layer, and bytes of all GPUs together.

    Attributes:
        compute: ``(L,)`` seconds of the slowest GPU.
        dispatch: ``(L,)`` seconds of sending tokens to experts.
        combine: ``(L,)`` seconds of sending results back.
        step: ``(L,)`` seconds of all three, less what is hidden by ``overlap`` of the cluster.
        intra_bytes: ``(L,)`` over NVLink, both ways.
        inter_bytes: ``(L,)`` over the network, both ways.
    """

    compute: np.ndarray
    dispatch: np.ndarray
    combine: np.ndarray
    step: np.ndarray
    intra_bytes: np.ndarray
    inter_bytes: np.ndarray

    @property
    def seconds(self) -> float:
        """Of all layers."""
        return float(self.step.sum())


def step_cost(cluster: Cluster, slots: np.ndarray, share: np.ndarray, load: np.ndarray, tokens: np.ndarray | None) -> StepCost:
    """What a step costs with a placement.

    Args:
        cluster: Where the slots lie.
        slots: ``(L, R)``, checked.
        share: ``(L, R)``, checked.
        load: ``(L, E)``, choices of each expert in one step.
        tokens: ``(L, n, k)``, the experts of sampled tokens; see `evolve.evaluators.placement.traffic.deduplicated`.
    """
    loads = slot_load(load, slots, share)
    per_gpu = loads.reshape(len(slots), cluster.gpus, -1)
    gpu_tokens = per_gpu.sum(-1)
    compute = _compute(cluster, gpu_tokens.max(-1), _used_experts(slots.reshape(per_gpu.shape), per_gpu).max(-1))
    sent = traffic(cluster, gpu_tokens, deduplicated(cluster, slots, share, tokens, load.shape[1]))
    dispatch, combine = _both_ways(cluster, sent.intra.max(-1), sent.inter.max(-1))
    both = cluster.hidden * (cluster.dispatch_bytes + cluster.combine_bytes)
    return StepCost(
        compute,
        dispatch,
        combine,
        _step(cluster, compute, dispatch + combine),
        sent.intra.sum(-1) * both,
        sent.inter.sum(-1) * both,
    )


def ideal_step(cluster: Cluster, load: np.ndarray, k: int = 1) -> np.ndarray:
    """A lower bound of a step with any placement and any share.

    The busiest receiver has at least the mean. Of the choices that a receiver gets, at most k, or as many as it has slots, belong
    to one token. An expert that a token may come to is read at least once. Bounds on the busiest GPU from numbers of replicas are
    not taken: with D - 1 or more slots to spare none exceeds the mean.

    Args:
        cluster: Where the experts would lie.
        load: ``(L, E)``, choices of each expert in one step.
        k: Experts of a token, the last axis of the tokens that `step_cost` gets; 1 if it gets none.

    Returns:
        ``(L,)`` seconds; never above `step_cost` but for rounding.
    """
    total = load.sum(-1)
    # 1 - exp(-x) is concave and 0 at 0: dividing an expert's tokens among GPUs only makes the sum larger.
    compute = _compute(cluster, total / cluster.gpus, _reached(load).sum(-1) / cluster.gpus)
    intra = total / cluster.gpus / min(k, cluster.slots_per_gpu) * (1 - 1 / cluster.gpus_per_node)
    inter = total / cluster.nodes / min(k, cluster.slots_per_node) * (1 - 1 / cluster.nodes)
    dispatch, combine = _both_ways(cluster, intra, inter)
    return _step(cluster, compute, dispatch + combine)


def _compute(cluster: Cluster, tokens: np.ndarray, experts: np.ndarray) -> np.ndarray:
    arithmetic = tokens * (cluster.flops_per_token / cluster.flops)
    return np.asarray(np.maximum(arithmetic, experts * (cluster.expert_bytes / cluster.memory_bytes_s)))


def _both_ways(cluster: Cluster, intra: np.ndarray, inter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    latency = cluster.latency_s if cluster.gpus > 1 else 0.0
    # All cards of a node share its tokens evenly: one goes to the card whose place is that of the GPU where it starts.
    per_byte = cluster.hidden * (intra / cluster.nvlink_bytes_s + inter / (cluster.network_bytes_s * cluster.gpus_per_node))
    return per_byte * cluster.dispatch_bytes + latency, per_byte * cluster.combine_bytes + latency


def _step(cluster: Cluster, compute: np.ndarray, communication: np.ndarray) -> np.ndarray:
    return np.asarray(compute + communication - cluster.overlap * np.minimum(compute, communication))


def _reached(tokens: np.ndarray) -> np.ndarray:
    """Probability that an expert is needed at all, if tokens come to it independently (Poisson)."""
    return np.asarray(-np.expm1(-tokens))


def _used_experts(slots: np.ndarray, loads: np.ndarray) -> np.ndarray:
    """Expected number of distinct experts that tokens come to; replicas on one GPU are read once.

    Args:
        slots: ``(L, D, s)``, the experts of each GPU.
        loads: ``(L, D, s)``, the tokens of each slot.

    Returns:
        ``(L, D)``.
    """
    order = np.argsort(slots, -1)
    ordered = np.take_along_axis(slots, order, -1)
    begins = np.ones(slots.shape, dtype=bool)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    starts = np.flatnonzero(begins)
    tokens = np.add.reduceat(np.take_along_axis(loads, order, -1).ravel(), starts)
    used = np.bincount(starts // slots.shape[-1], _reached(tokens), slots[..., 0].size)
    return np.asarray(used.reshape(slots.shape[:-1]))
