"""Says which expert each slot of each GPU holds, and where the replicas of each expert are."""

import numpy as np

# EVOLVE-BLOCK-START


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus):
    """DeepSeek's hierarchical balancing of loads (L, E): the expert in each slot, the slots of each expert, and how many."""
    if num_groups % num_nodes:
        num_groups, num_nodes = 1, 1
    phy2log = hierarchical(weight, num_nodes, num_groups, num_gpus, num_replicas)
    return phy2log, *maps(phy2log, weight.shape[1])


def maps(phy2log, experts):
    """From (L, R) experts in slots to (L, E, X) slots of experts, -1 behind the last, and (L, E) counts."""
    layers, slots = phy2log.shape
    row = np.arange(layers)[:, None]
    logcnt = np.zeros((layers, experts), dtype=int)
    np.add.at(logcnt, (row, phy2log), 1)
    order = np.argsort(phy2log, axis=1, kind="stable")
    held = np.take_along_axis(phy2log, order, axis=1)
    rank = np.arange(slots) - np.take_along_axis(np.cumsum(logcnt, axis=1) - logcnt, held, axis=1)
    log2phy = np.full((layers, experts, logcnt.max()), -1)
    log2phy[row, held, rank] = order
    return log2phy, logcnt


def hierarchical(load, nodes, groups, gpus, slots):
    """Groups of experts go to nodes; inside a node experts are replicated, and replicas packed on its GPUs."""
    layers, experts = load.shape
    size = experts // groups
    order = pack(load.reshape(layers, groups, size).sum(2), nodes)
    there = (order[:, :, None] * size + np.arange(size)).reshape(layers * nodes, experts // nodes)
    inside = np.take_along_axis(np.repeat(load, nodes, axis=0), there, axis=1)
    held, copies = replicate(inside, slots // nodes)
    carried = np.take_along_axis(inside / copies, held, axis=1)
    held = np.take_along_axis(held, pack(carried, gpus // nodes), axis=1)
    return np.take_along_axis(there, held, axis=1).reshape(layers, slots)


def replicate(load, slots):
    """Each expert once, then one more of that whose replicas carry most: (X, n) -> (X, slots) experts, (X, n) copies."""
    rows, experts = load.shape
    row = np.arange(rows)
    held = np.tile(np.arange(slots), (rows, 1))
    copies = np.ones((rows, experts))
    for slot in range(experts, slots):
        most = (load / copies).argmax(1)
        held[:, slot] = most
        copies[row, most] += 1
    return held, copies


def pack(load, packs):
    """From the heaviest item (X, n) down, each into the lightest pack with room; as they are, if there is room for one each."""
    rows, items = load.shape
    room = items // packs
    if room == 1:
        return np.tile(np.arange(items), (rows, 1))
    row = np.arange(rows)
    total, filled = np.zeros((rows, packs)), np.zeros((rows, packs), dtype=int)
    placed = np.empty((rows, items), dtype=int)
    for item in np.argsort(-load, axis=1, kind="stable").T:
        lightest = np.where(filled < room, total, np.inf).argmin(1)
        placed[row, lightest * room + filled[row, lightest]] = item
        filled[row, lightest] += 1
        total[row, lightest] += load[row, item]
    return placed


# EVOLVE-BLOCK-END
