"""Says which expert each slot of each GPU is to hold in the next window, from the loads of the windows before."""

import numpy as np

# EVOLVE-BLOCK-START
DECAY = 0.0  # what a window counts beside the one after it, in the forecast: 0 looks at the last one alone
SHRINK = 0.0  # how far the forecast goes towards equal loads
SPREAD_ABOVE = 2.0  # groups of experts leave their nodes where the busiest GPU would get more than this, in units of the mean
KEEP_BELOW = 0.9  # a layer stays as it is while its busiest GPU would get less than this, in units of that under the new plan


def plan(history, tokens, current, cluster):
    """DeepSeek's hierarchical balancing of the forecast loads: from (W, L, E) loads, and (L, R) slots in force, to (L, R) slots."""
    load = forecast(history)
    nodes, groups = cluster["nodes"], cluster["groups"]
    if groups % nodes:
        nodes, groups = 1, 1
    slots = hierarchical(load, nodes, groups, cluster["gpus"], cluster["slots"])
    wide = busiest(load, slots, cluster["gpus"]) > SPREAD_ABOVE * load.sum(1) / cluster["gpus"]
    if wide.any():
        slots[wide] = hierarchical(load[wide], 1, 1, cluster["gpus"], cluster["slots"])
    stay = busiest(load, current, cluster["gpus"]) < KEEP_BELOW * busiest(load, slots, cluster["gpus"])
    return np.where(stay[:, None], current, slots)


def forecast(history):
    """The loads (L, E) to plan for."""
    age = np.arange(len(history))[::-1]
    weight = DECAY**age
    load = np.tensordot(weight / weight.sum(), history, axes=1)
    return (1 - SHRINK) * load + SHRINK * load.mean(1, keepdims=True)


def busiest(load, slots, gpus):
    """The load (L,) of the busiest GPU, if the replicas of an expert share its load evenly."""
    layers, experts = load.shape
    place = np.arange(layers)[:, None] * experts + slots
    copies = np.bincount(place.ravel(), minlength=load.size)
    share = (load.ravel() / np.maximum(copies, 1))[place]
    return share.reshape(layers, gpus, -1).sum(2).max(1)


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
