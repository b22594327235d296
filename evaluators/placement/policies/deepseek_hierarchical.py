"""DeepSeek's hierarchical balancing: groups of experts go to nodes, and what follows happens inside each node.

    groups      packed on the nodes, as many on each; all replicas of a group's experts will lie on its node
    replicate   per node: each expert once, then one more of the expert whose replicas carry most, argmax w / c
    pack        per node: from the heaviest replica down, each to the GPU that carries least so far and has a free slot

Source: DeepSeek-AI 2025, Expert Parallelism Load Balancer (github.com/deepseek-ai/EPLB), the hierarchical policy. With
routing limited to a few groups per token, a token then goes to few nodes (DeepSeek-V3, arXiv 2412.19437).

As published, groups that cannot be divided evenly over the nodes are balanced globally, all is computed in single
precision, and a replica's slot on its GPU is its place in the order of packing, so that the slots are the published
program's also where loads are equal: the first of equals goes first. (The published sort leaves the order of equals to
torch, whose recent versions shuffle them in rows of more than 16; this is its order with ``stable=True``.) Its
sum over a group may differ in the last bit where it exceeds 2**24.

Edge cases: with as many groups as nodes, groups stay where they are. Where all loads of a node are zero every further
replica is of its first expert.
"""

from collections.abc import Mapping

import numpy as np


def place(weight: np.ndarray, tokens: np.ndarray | None, current: np.ndarray | None, cluster: Mapping[str, int]) -> np.ndarray:
    """Balances the weights (L, E) over nodes by groups, then inside the nodes; returns (L, R) int64."""
    gpus, slots = cluster["gpus"], cluster["slots"]
    grouped = cluster["groups"] % cluster["nodes"] == 0
    nodes, groups = (cluster["nodes"], cluster["groups"]) if grouped else (1, 1)
    layers, experts = weight.shape
    load = weight.astype(np.float32)

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
    """Packs items with load (X, n) into so many packs of n // packs; returns the item in each place (X, n), pack by pack."""
    rows, items = load.shape
    room = items // packs
    if room == 1:
        return np.tile(np.arange(items), (rows, 1))
    row = np.arange(rows)
    total = np.zeros((rows, packs), dtype=load.dtype)
    filled = np.zeros((rows, packs), dtype=np.int64)
    placed = np.empty((rows, items), dtype=np.int64)
    for item in np.argsort(-load, axis=1, kind="stable").T:
        pack = total.argmin(axis=1)
        rank = filled[row, pack]
        placed[row, pack * room + rank] = item
        filled[row, pack] = rank + 1
        # A full pack is no longer the lightest.
        total[row, pack] = np.where(rank + 1 == room, np.inf, total[row, pack] + load[row, item])
    return placed
