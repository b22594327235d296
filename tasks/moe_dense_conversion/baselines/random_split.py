"""Shares the hidden units of dense networks out among experts by chance."""

import numpy as np


def assign(importance, activations, weights, shared, experts):
    layers, hidden = importance.shape
    width = (hidden - shared) // experts
    row = np.repeat(np.arange(experts + 1), [shared] + [width] * experts)
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(row) for _ in range(layers)])
