"""Integers that are the same on every machine, with every version of Python and NumPy.

NumPy promises its bits (`numpy.random.BitGenerator`) but not what its `Generator` makes of them, and the texts and batches
made here are compared across machines and years by their hash. SplitMix64 is one line of integer arithmetic, and a word of
it depends on its place alone, so that any part of a stream can be had without the parts before.

Source: Steele, Lea & Flood 2014, Fast splittable pseudorandom number generators, Figure 15 (the constants of its ``mix64``
are Stafford's variant 13).
"""

from __future__ import annotations

import hashlib

import numpy as np

_GAMMA = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def key(*parts: int | str) -> int:
    """Derives the seed of a stream from what the stream is for.

    Args:
        parts: Numbers (their lowest 64 bits count) and words, such as ``("windows", seed, step)``.

    Returns:
        64 bits.
    """
    state = 0
    for part in parts:
        value = part if isinstance(part, int) else int.from_bytes(hashlib.sha256(part.encode()).digest()[:8], "little")
        state = _mixed(state ^ (value & _MASK))
    return state


def words(seeds: np.ndarray, count: int) -> np.ndarray:
    """Returns the first words of several streams.

    Args:
        seeds: ``(n,)`` uint64.
        count: Words of each stream.

    Returns:
        ``(n, count)`` uint64.
    """
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    state: np.ndarray = seeds[:, None] + steps
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_MULTIPLIERS[0])
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_MULTIPLIERS[1])
    state ^= state >> np.uint64(31)
    return state


def stream(seed: int, count: int) -> np.ndarray:
    """Returns the first words of one stream: ``(count,)`` uint64."""
    first: np.ndarray = words(np.array([seed], dtype=np.uint64), count)[0]
    return first


def below(drawn: np.ndarray, bound: int | np.ndarray) -> np.ndarray:
    """Turns words into integers from 0 to ``bound`` − 1, evenly to within ``bound`` / 2^32.

    Args:
        drawn: uint64 words; their upper halves are used.
        bound: At least 1 and at most 2^32; a number, or an array that broadcasts with ``drawn``.

    Returns:
        int64, of the shape that both broadcast to.
    """
    scaled: np.ndarray = (drawn >> np.uint64(32)) * np.asarray(bound, dtype=np.uint64) >> np.uint64(32)
    return scaled.astype(np.int64)


def permutation(seed: int, size: int) -> np.ndarray:
    """Returns 0 to ``size`` − 1 in an order drawn from one stream: ``(size,)`` int64."""
    return np.argsort(stream(seed, size), kind="stable")


def _mixed(state: int) -> int:
    """The first word of the stream of a seed, in plain integers: arrays of one element are ten times slower."""
    state = (state + _GAMMA) & _MASK
    state = ((state ^ (state >> 30)) * _MULTIPLIERS[0]) & _MASK
    state = ((state ^ (state >> 27)) * _MULTIPLIERS[1]) & _MASK
    return state ^ (state >> 31)
