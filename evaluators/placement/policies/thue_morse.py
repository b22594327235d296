"""The evolved Thue-Morse dealing: DeepSeek's hierarchy, with the direction of each round by the Thue-Morse sequence.

    replicate   the R - E largest of all marginal gains w / 1, w / 2, ... at once: what the greedy loop takes one by one
    pack        sort by load, heaviest first; round r deals one item to each pack, backwards where r has an odd number of ones

Source: Lange et al. 2025, ShinkaEvolve (arXiv 2509.19349), applied to the EPLB case of Cheng et al. 2025 (arXiv
2510.06189); written from the description of the method.

Edge cases: with two rounds it is the snake. As many items as packs stay where they are. Groups that cannot be divided
evenly over the nodes are balanced globally. Memory for E * (R - E) gains a layer.
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
    further = slots - experts
    # Gain of one more replica where there are j; an expert's own gains fall, so the largest ones are a prefix of each.
    gains = load[:, :, None] / np.arange(1, further + 1)
    best = np.argsort(-gains.reshape(rows, -1), axis=1, kind="stable")[:, :further]
    held = np.concatenate((np.tile(np.arange(experts), (rows, 1)), best // max(further, 1)), axis=1)
    copies = np.ones((rows, experts))
    np.add.at(copies, (np.arange(rows)[:, None], held[:, experts:]), 1)
    return held, copies


def _pack(load: np.ndarray, packs: int) -> np.ndarray:
    """Deals items with load (X, n) out to so many packs; returns the item in each place (X, n), pack by pack."""
    rows, items = load.shape
    if items == packs:
        return np.tile(np.arange(items), (rows, 1))
    rounds = np.arange(items).reshape(-1, packs)
    backwards = [number.bit_count() % 2 == 1 for number in range(len(rounds))]
    rounds[backwards] = rounds[backwards, ::-1]
    return np.argsort(-load, axis=1, kind="stable")[:, rounds.T.ravel()]
