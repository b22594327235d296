"""The evolved snake: DeepSeek's hierarchy, with boustrophedon dealing in place of packing one item after the other.

    pack   sort by load, heaviest first; position p goes to pack p mod m, in odd rounds p // m in reverse order of packs

Groups are packed on nodes and replicas on a node's GPUs in this way; replication stays the loop of DeepSeek's balancer.

Source: Cheng et al. 2025, Barbarians at the Gate (arXiv 2510.06189), the program that OpenEvolve found for EPLB; written
from the description of the method.

Edge cases: as fast as a sort, but blind to how much heavier one item is than the next: the pack that gets the heaviest
of the first round keeps that lead, which shows under skewed loads. As many items as packs stay where they are. Groups
that cannot be divided evenly over the nodes are balanced globally.
"""

from collections.abc import Mapping

import numpy as np


def place(weight: np.ndarray, tokens: np.ndarray | None, current: np.ndarray | None, cluster: Mapping[str, int]) -> np.ndarray:
    """Balances the weights (L, E) over nodes by groups, then inside the nodes; returns (L, R) int64."""
    gpus, slots = cluster["gpus"], cluster["slots"]
    grouped = cluster["groups"] % cluster["nodes"] == 0
    nodes, groups = (cluster["nodes"], cluster["groups"]) if grouped else (1, 1)
    layers, experts = weight.shape
    load = weight.astype(np.float64)

    size = experts // groups
    order = _pack(load.reshape(layers, groups, size).sum(axis=2), nodes)
    # Rows are nodes of layers from here on.
    there = (order[:, :, None] * size + np.arange(size)).reshape(layers * nodes, experts // nodes)
    inside = np.take_along_axis(load.repeat(nodes, axis=0), there, axis=1)
    held, copies = _replicate(inside, slots // nodes)
    carried = np.take_along_axis(inside / copies, held, axis=1)
    held = np.take_along_axis(held, _pack(carried, gpus // nodes), axis=1)
    return np.take_along_axis(there, held, axis=1).reshape(layers, slots)


def _replicate(load: np.ndarray, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Gives slots to experts with load (X, n); returns the expert of each (X, slots) and the replicas of each (X, n)."""
    rows, experts = load.shape
    row = np.arange(rows)
    held = np.tile(np.arange(slots, dtype=np.int64), (rows, 1))
    copies = np.ones_like(load)
    share = load.copy()
    for slot in range(experts, slots):
        busiest = share.argmax(axis=1)
        held[:, slot] = busiest
        copies[row, busiest] += 1
        share[row, busiest] = load[row, busiest] / copies[row, busiest]
    return held, copies


def _pack(load: np.ndarray, packs: int) -> np.ndarray:
    """Deals items with load (X, n) out to so many packs; returns the item in each place (X, n), pack by pack."""
    rows, items = load.shape
    if items == packs:
        return np.tile(np.arange(items), (rows, 1))
    rounds = np.arange(items).reshape(-1, packs)
    rounds[1::2] = rounds[1::2, ::-1].copy()
    return np.argsort(-load, axis=1, kind="stable")[:, rounds.T.ravel()]
