"""DeepSeek's global balancing: replicas go to the busiest experts, then to GPUs without regard to nodes and groups.

    replicate   each expert once, then R - E times one more of the expert whose replicas carry most, argmax w / c
    pack        from the heaviest replica down, each to the GPU that carries least so far and has a free slot

Source: DeepSeek-AI 2025, Expert Parallelism Load Balancer (github.com/deepseek-ai/EPLB), the global policy; the first
step gives the smallest possible max w / c, the second is longest processing time first (Graham 1969) with a fixed number
of items per machine.

As published, all is computed in single precision and a replica's slot on its GPU is its place in the order of packing,
so that the slots are the published program's also where loads are equal. It may put two replicas of an expert on one GPU.

Edge cases: where all loads are zero every further replica is of expert 0. With a slot per GPU nothing is packed: slots
keep the order of replication, which begins with experts 0 .. E - 1.
"""

from collections.abc import Mapping

import numpy as np


def place(weight: np.ndarray, tokens: np.ndarray | None, current: np.ndarray | None, cluster: Mapping[str, int]) -> np.ndarray:
    """Balances the weights (L, E) over all GPUs at once; returns (L, R) int64."""
    load = weight.astype(np.float32)
    held, copies = _replicate(load, cluster["slots"])
    carried = np.take_along_axis(load / copies, held, axis=1)
    return np.take_along_axis(held, _pack(carried, cluster["gpus"]), axis=1)


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
