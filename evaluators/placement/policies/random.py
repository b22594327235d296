"""A random placement, the same at every call: each expert once, the slots left over filled by chance, all shuffled.

The generator's seed is the shape of the problem and not its content, so that the placement stays when the load changes.
"""

from collections.abc import Mapping

import numpy as np


def place(weight: np.ndarray, tokens: np.ndarray | None, current: np.ndarray | None, cluster: Mapping[str, int]) -> np.ndarray:
    """Places at random without looking at the weights (L, E); returns (L, R) int64."""
    layers, experts = weight.shape
    rng = np.random.default_rng((layers, experts, cluster["slots"]))
    once = np.tile(np.arange(experts, dtype=np.int64), (layers, 1))
    again = rng.integers(experts, size=(layers, cluster["slots"] - experts))
    return rng.permuted(np.concatenate((once, again), axis=1), axis=1)
