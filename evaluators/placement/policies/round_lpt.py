"""Rounds of longest processing time, after an apportionment of the slots: a global placement without a loop over slots.

    apportion   Hamilton's method: an expert's quota is its part of the load times R; everyone gets the whole of the
                quota, at least one, and the slots left over go to the largest remainders
    threshold   where that takes more than R slots: the smallest T with sum of max(1, ceil(w / T)) <= R, by bisection
    pack        sort the replicas, heaviest first; each round gives one to every GPU, the heaviest to the one that
                carries least so far

Source: the program that GEPA found for EPLB (Agrawal et al. 2025, arXiv 2507.19457, on the case of arXiv 2510.06189);
written from the description of the method.

Deviations: all layers are placed globally. The published program falls back to the hierarchy where the imbalance is
above 1.06; a hierarchical placement is among those that a global one may choose from, so that it is hardly ever better
balanced.

Edge cases: the smallest max w / c is the threshold's, not the apportionment's. Where all loads of a layer are zero, the
slots left over go to all experts in turn.
"""

from collections.abc import Mapping

import numpy as np

# Halvings of the interval of T: its width ends at the spacing of double precision, whatever the loads.
BISECTIONS = 64


def place(weight: np.ndarray, tokens: np.ndarray | None, current: np.ndarray | None, cluster: Mapping[str, int]) -> np.ndarray:
    """Balances the weights (L, E) over all GPUs at once; returns (L, R) int64."""
    layers, experts = weight.shape
    slots, gpus = cluster["slots"], cluster["gpus"]
    copies = _apportion(weight, slots)
    skewed = copies.sum(axis=1) > slots
    copies[skewed] = _threshold(weight[skewed], slots)
    held = np.repeat(np.tile(np.arange(experts), layers), copies.ravel()).reshape(layers, slots)
    return _pack(held, np.take_along_axis(weight / copies, held, axis=1), gpus)


def _apportion(weight: np.ndarray, slots: int) -> np.ndarray:
    """Gives each expert of (X, E) its rounded share of the slots, at least one; sums to more where that takes more."""
    total = weight.sum(axis=1, keepdims=True)
    quota = np.divide(weight * slots, total, out=np.zeros_like(weight), where=total > 0)
    copies = np.maximum(np.floor(quota), 1).astype(np.int64)
    return _top_up(copies, quota - copies, slots)


def _threshold(weight: np.ndarray, slots: int) -> np.ndarray:
    """Gives each expert of (X, E) as many slots as keep its replicas under the lowest threshold that R slots allow."""
    low, high = np.zeros((len(weight), 1)), weight.max(axis=1, keepdims=True)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        fits = _needed(weight, middle).sum(axis=1, keepdims=True) <= slots
        low, high = np.where(fits, low, middle), np.where(fits, middle, high)
    copies = _needed(weight, high).astype(np.int64)
    return _top_up(copies, weight / copies, slots)


def _needed(weight: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    slots: np.ndarray = np.maximum(np.ceil(weight / threshold), 1)
    return slots


def _top_up(copies: np.ndarray, claim: np.ndarray, slots: int) -> np.ndarray:
    """Gives what is left of the slots to the largest claims (X, E), in turn; rows with nothing left stay."""
    experts = copies.shape[1]
    left = np.maximum(slots - copies.sum(axis=1, keepdims=True), 0)
    turn = np.argsort(np.argsort(-claim, axis=1, kind="stable"), axis=1, kind="stable")
    full: np.ndarray = copies + left // experts + (turn < left % experts)
    return full


def _pack(held: np.ndarray, load: np.ndarray, gpus: int) -> np.ndarray:
    """Packs replicas (X, R) with loads (X, R) round by round; returns the expert in each slot (X, R)."""
    rows, slots = held.shape
    order = np.argsort(-load, axis=1, kind="stable")
    load, held = np.take_along_axis(load, order, axis=1), np.take_along_axis(held, order, axis=1)
    total = np.zeros((rows, gpus))
    placed = np.empty((rows, gpus, slots // gpus), dtype=np.int64)
    row = np.arange(rows)[:, None]
    for turn in range(slots // gpus):
        lightest = np.argsort(total, axis=1, kind="stable")
        dealt = slice(turn * gpus, (turn + 1) * gpus)
        placed[row, lightest, turn] = held[:, dealt]
        total[row, lightest] += load[:, dealt]
    return placed.reshape(rows, slots)
