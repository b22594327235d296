"""Requests to a cache, made up from a seed, and what the best and the usual policies would miss of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np


def traces(seed: int, length: int) -> dict[str, list[int]]:
    """Makes one trace of every kind.

    Args:
        seed: Of everything random.
        length: Requests in each.

    Returns:
        Keys by the order of their requests. ``drift``: a Zipf law whose favourites change slowly. ``scan``: the same with
        runs through keys that never come back, as backups make. ``loop``: a loop larger than the
        cache among other requests.
    """
    rng = np.random.default_rng(seed)
    return {"drift": _drift(rng, length, 0.002), "scan": _scan(rng, length), "loop": _loop(rng, length)}


def least_recently_used(trace: Sequence[int], capacity: int) -> int:
    """Counts what an LRU cache misses."""
    cached: OrderedDict[int, None] = OrderedDict()
    misses = 0
    for key in trace:
        if key in cached:
            cached.move_to_end(key)
            continue
        misses += 1
        if len(cached) == capacity:
            cached.popitem(last=False)
        cached[key] = None
    return misses


def fewest_possible(trace: Sequence[int], capacity: int) -> int:
    """Counts what is missed by giving up the key whose next request is farthest, which needs to know the future.

    Source: Belady 1966, "A study of replacement algorithms for a virtual-storage computer".
    """
    following: list[float] = [float("inf")] * len(trace)
    last: dict[int, int] = {}
    for at in range(len(trace) - 1, -1, -1):
        following[at] = last.get(trace[at], float("inf"))
        last[trace[at]] = at
    cached: dict[int, float] = {}
    misses = 0
    for at, key in enumerate(trace):
        if key not in cached:
            misses += 1
            if len(cached) == capacity:
                del cached[max(cached, key=cached.__getitem__)]
        cached[key] = following[at]
    return misses


def _zipf(rng: np.random.Generator, keys: int, exponent: float, size: int) -> np.ndarray:
    weights = np.arange(1, keys + 1) ** -exponent
    drawn: np.ndarray = rng.choice(keys, size, p=weights / weights.sum())
    return drawn


def _drift(rng: np.random.Generator, length: int, rate: float) -> list[int]:
    names = rng.permutation(400)
    trace = []
    for rank in _zipf(rng, 400, 0.9, length):
        if rng.random() < rate * 10:
            one, other = rng.integers(0, 400, 2)
            names[[one, other]] = names[[other, one]]
        trace.append(int(names[rank]))
    return trace


def _scan(rng: np.random.Generator, length: int) -> list[int]:
    trace: list[int] = []
    favourites = _drift(rng, length, 0.0005)
    fresh = 10_000
    while len(trace) < length:
        trace += favourites[: int(rng.integers(60, 200))]
        del favourites[: int(rng.integers(60, 200))]
        run = int(rng.integers(30, 120))
        trace += range(fresh, fresh + run)
        fresh += run
    return trace[:length]


def _loop(rng: np.random.Generator, length: int) -> list[int]:
    others = _drift(rng, length, 0.001)
    size, at, trace = 70, 0, []
    for key in others:
        if rng.random() < 0.5:
            trace.append(20_000 + at)
            at = (at + 1) % size
        else:
            trace.append(key)
    return trace
