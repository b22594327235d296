"""What of the tokens has to travel to the experts, and over which links.

The model is that of DeepSeek-V3 (arXiv 2412.19437, 3.2.2): attention is data-parallel, so tokens start on all GPUs alike. A token
crosses the network at most once to each other node, to the GPU there that has the same place as its own, and goes on over NVLink,
once to each GPU of the node that holds one of its slots. Results come back the same way. No link carries more out of a GPU or node
than comes in at the busiest, which therefore decides.

How often a token meets several of its experts on one GPU or node follows from a sample of tokens. The sample gives only that ratio;
it is applied to exact loads, so that its noise does not touch the balance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evolve.evaluators.placement.cluster import Cluster
from evolve.evaluators.placement.placement import replicas

#: Fractions of multiples of the golden ratio are spread evenly, whichever stretch of them is taken (Kronecker's sequence).
_GOLDEN = (5**0.5 - 1) / 2


class Dedup(NamedTuple):
    """Tokens that arrive for each choice of an expert, in (0, 1]: 1 where no token has two of its experts.

    Attributes:
        gpus: ``(L, D)``.
        nodes: ``(L, N)``.
    """

    gpus: np.ndarray
    nodes: np.ndarray


class Traffic(NamedTuple):
    """Tokens that a receiver gets over its links in a step.

    Attributes:
        intra: ``(L, D)``, over NVLink from GPUs of the same node.
        inter: ``(L, N)``, over the network, by all cards of the node together.
    """

    intra: np.ndarray
    inter: np.ndarray


def chosen_slots(slots: np.ndarray, share: np.ndarray, tokens: np.ndarray, experts: int) -> np.ndarray:
    """Which slot each token of a sample takes for each of its experts.

    A token has a fixed number in [0, 1), by its place in the sample, and takes the replica in whose part of the expert's share that
    lies; replicas stand in the order of their slots. The number is the same for all its experts, so that replicas in like order
    serve like tokens. Nothing is drawn: all policies see the same.

    Args:
        slots: ``(L, R)``.
        share: ``(L, R)``.
        tokens: ``(L, n, k)``, the experts of each token.
        experts: E.

    Returns:
        ``(L, n, k)`` int64.
    """
    layers, room = slots.shape
    counts = replicas(slots, experts).ravel()
    order = np.argsort(slots, 1, kind="stable")
    ordered = (order + np.arange(layers)[:, None] * room).ravel()
    first = np.cumsum(counts) - counts
    # Where the part of each replica ends, from 0 at its expert's first; the sum over all before it is taken off again.
    ends = np.cumsum(share.ravel()[ordered])
    ends -= np.repeat(ends[first] - share.ravel()[ordered[first]], counts)
    expert = (tokens + np.arange(layers)[:, None, None] * experts).ravel()
    place = first[expert]
    last = place + counts[expert] - 1
    number = np.broadcast_to(_numbers(tokens.shape[1])[:, None], tokens.shape).ravel()
    left = np.flatnonzero(last > place)
    while len(left):
        left = left[(number[left] >= ends[place[left]]) & (place[left] < last[left])]
        place[left] += 1
    return np.asarray(order.ravel()[place].reshape(tokens.shape))


def _numbers(count: int) -> np.ndarray:
    return np.arange(1, count + 1) * _GOLDEN % 1


def deduplicated(cluster: Cluster, slots: np.ndarray, share: np.ndarray, tokens: np.ndarray | None, experts: int) -> Dedup:
    """How many tokens arrive for each choice of an expert.

    Args:
        cluster: Where the slots lie.
        slots: ``(L, R)``.
        share: ``(L, R)``.
        tokens: ``(L, n, k)``, the experts of each token of a sample; None for no sample: every choice counts as a token then.
        experts: E.

    Returns:
        The ratios; 1 for receivers that no token of the sample goes to.
    """
    if tokens is None:
        return Dedup(np.ones((len(slots), cluster.gpus)), np.ones((len(slots), cluster.nodes)))
    gpu = chosen_slots(slots, share, tokens, experts) // cluster.slots_per_gpu
    return Dedup(_ratio(gpu, cluster.gpus), _ratio(gpu // cluster.gpus_per_node, cluster.nodes))


def _ratio(receiver: np.ndarray, receivers: int) -> np.ndarray:
    layers, n, _ = receiver.shape
    key = receiver + np.arange(layers)[:, None, None] * receivers
    choices = np.bincount(key.ravel(), minlength=layers * receivers).reshape(layers, receivers)
    met = np.zeros((layers, n, receivers), dtype=bool)
    met.reshape(-1)[receiver + np.arange(layers * n).reshape(layers, n, 1) * receivers] = True
    return np.asarray(np.where(choices > 0, met.sum(1) / np.maximum(choices, 1), 1.0))


def traffic(cluster: Cluster, tokens: np.ndarray, dedup: Dedup) -> Traffic:
    """Tokens that each receiver gets in a step; the way back carries the same.

    Of the tokens for a GPU, those that start there, or are handed on there, need no NVLink: as all GPUs of a node start and hand on
    alike, that is one in ``gpus_per_node``. Of the tokens for a node, one in ``nodes`` starts there.

    Args:
        cluster: Where they lie.
        tokens: ``(L, D)``, choices of the experts of each GPU in a step.
        dedup: Of the placement.
    """
    on_node = tokens.reshape(len(tokens), cluster.nodes, -1).sum(-1)
    intra = tokens * dedup.gpus * (1 - 1 / cluster.gpus_per_node)
    return Traffic(intra, on_node * dedup.nodes * (1 - 1 / cluster.nodes))
