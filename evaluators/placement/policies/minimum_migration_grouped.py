"""DeepSeek's hierarchical balancing, laid on nodes and GPUs so that as little as possible moves.

    balance   as in DeepSeek's hierarchical policy: for each node a block of packs, for each GPU a pack of experts
    assign    packs to GPUs within every pair of a block and a node, then blocks to nodes by what the first step costs
    keep      on each GPU, experts that stay keep their slot

Blocks move as a whole, so that a group's replicas stay on one node; the balance is the hierarchical policy's.

Source: DeepSeek-AI 2025 (github.com/deepseek-ai/EPLB) for the packs; Kuhn 1955, The Hungarian method for the assignment
problem, solved by scipy's ``linear_sum_assignment``.

Edge cases: without a placement in force this is the hierarchical policy. Groups that cannot be divided evenly over the
nodes are balanced globally, and packs then go to any GPU.
"""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment

NETWORK = 3.0  # cost of a copy from another node, where one inside a node costs 1: about the ratio of the bandwidths


def place(weight: np.ndarray, tokens: np.ndarray | None, current: np.ndarray | None, cluster: Mapping[str, int]) -> np.ndarray:
    """Balances the weights (L, E) by groups, near the placement in force; returns (L, R) int64."""
    balanced = _balance(weight, cluster)
    if current is None:
        return balanced
    gpus, nodes = cluster["gpus"], cluster["nodes"]
    packs = balanced.reshape(len(weight), gpus, -1)
    prices = _prices(current, weight.shape[1], gpus, nodes)
    # Cost of each pack on each GPU.
    costs = np.take_along_axis(prices, balanced[:, :, None], axis=1).reshape(*packs.shape, gpus).sum(axis=2)
    blocks = nodes if cluster["groups"] % nodes == 0 else 1
    assigned = np.empty_like(packs)
    for layer, cost in enumerate(costs):
        assigned[layer, _assign(cost, blocks)] = packs[layer]
    return _keep_slots(assigned, current)


def _assign(cost: np.ndarray, blocks: int) -> np.ndarray:
    """Finds a GPU for each pack by costs (packs, GPUs), so that the packs of a block stay together on a node."""
    size = len(cost) // blocks
    between = np.empty((blocks, blocks))
    inside = np.empty((blocks, blocks, size), dtype=np.int64)
    for block in range(blocks):
        for node in range(blocks):
            part = cost[block * size : (block + 1) * size, node * size : (node + 1) * size]
            rows, columns = linear_sum_assignment(part)
            between[block, node] = part[rows, columns].sum()
            inside[block, node] = node * size + columns
    chosen: np.ndarray = inside[linear_sum_assignment(between)]
    return chosen.ravel()


def _prices(current: np.ndarray, experts: int, gpus: int, nodes: int) -> np.ndarray:
    """Prices a copy of each expert to each GPU, (L, E, GPUs): 0 where it lies, 1 from a GPU of the node, else `NETWORK`."""
    layers, slots = current.shape
    here = np.zeros((layers, experts, gpus), dtype=bool)
    here[np.arange(layers)[:, None], current, np.arange(slots) // (slots // gpus)] = True
    on_node = here.reshape(layers, experts, nodes, -1).any(axis=3).repeat(gpus // nodes, axis=2)
    return np.where(here, 0.0, np.where(on_node, 1.0, NETWORK))


def _keep_slots(packs: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Orders the experts on each GPU (L, GPUs, room) so that those that stay keep a slot that they had; returns (L, R)."""
    before = current.reshape(packs.shape)
    waiting = np.ones(packs.shape, dtype=bool)
    kept = np.full(packs.shape, -1, dtype=np.int64)
    for slot in range(packs.shape[2]):
        same = waiting & (packs == before[:, :, slot, None])
        layer, gpu = np.nonzero(same.any(axis=2))
        item = same.argmax(axis=2)[layer, gpu]
        kept[layer, gpu, slot] = packs[layer, gpu, item]
        waiting[layer, gpu, item] = False
    # Each GPU has as many empty slots as experts that wait, so that both lists run alike.
    kept[kept < 0] = packs[waiting]
    return kept.reshape(current.shape)


def _balance(weight: np.ndarray, cluster: Mapping[str, int]) -> np.ndarray:
    """Balances the weights (L, E) as DeepSeek's hierarchical policy; returns (L, R)."""
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
