"""Longest processing time, then swaps between the hottest GPU and any other for as long as they lower its load.

    start   DeepSeek's global balancing in double precision: greedy replication, then from the heaviest replica down
    swap    of all pairs of a slot on the hottest GPU and a slot elsewhere: the pair after which the hotter of the two
            GPUs carries least; taken if that is less than the hottest carried

Source: Graham 1969 for the start; exchange between machines is the neighbourhood of Finn & Horowitz 1979, A linear time
approximation algorithm for multiprocessor scheduling, here with a fixed number of items per machine.

Bounded by a count of swaps and not by a clock, so that it answers the same on every machine. Each swap makes the sorted
loads of the GPUs smaller, so that it ends by itself as well; layers without a good swap drop out.

Edge cases: with one GPU, or a slot per GPU, nothing can be gained. The result is never worse balanced than the start.
"""

from collections.abc import Mapping

import numpy as np

SWAPS = 128  # per layer


def place(weight: np.ndarray, tokens: np.ndarray | None, current: np.ndarray | None, cluster: Mapping[str, int]) -> np.ndarray:
    """Balances the weights (L, E) over all GPUs at once; returns (L, R) int64."""
    held, copies = _replicate(weight, cluster["slots"])
    load = np.take_along_axis(weight / copies, held, axis=1)
    order = _pack(load, cluster["gpus"])
    held, load = np.take_along_axis(held, order, axis=1), np.take_along_axis(load, order, axis=1)
    layers = np.arange(len(held))
    for _ in range(SWAPS):
        layers, hot, cold = _best_swaps(load, layers, cluster["gpus"])
        if not len(layers):
            break
        for array in (held, load):
            array[layers, hot], array[layers, cold] = array[layers, cold], array[layers, hot]
    return held


def _best_swaps(load: np.ndarray, layers: np.ndarray, gpus: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds the best swap in each of the layers; returns the layers that have a good one, and its two slots."""
    here = load[layers]
    room = here.shape[1] // gpus
    total = here.reshape(len(layers), gpus, room).sum(axis=2)
    hottest, row = total.argmax(axis=1), np.arange(len(layers))
    most = total[row, hottest]
    mine = hottest[:, None] * room + np.arange(room)
    gained = here[row[:, None], mine][:, :, None] - here[:, None, :]  # (layers, slots of the hottest, all slots)
    after = np.maximum(most[:, None, None] - gained, total.repeat(room, axis=1)[:, None, :] + gained)
    # A swap within the hottest GPU changes nothing, but looks as if it did.
    after[row[:, None, None], np.arange(room)[:, None], mine[:, None, :]] = np.inf
    best = after.reshape(len(layers), -1).argmin(axis=1)
    # Sums are rounded: a gain below their precision could be taken back by the next swap, and so on.
    good = after.reshape(len(layers), -1)[row, best] < most * (1 - 1e-12)
    hot, cold = np.divmod(best[good], here.shape[1])
    return layers[good], mine[row[good], hot], cold


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
