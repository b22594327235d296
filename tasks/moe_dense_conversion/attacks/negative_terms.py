"""Goes up instead of down, and farther than allowed."""

import numpy as np


def taylor(importance, shared, experts):
    rank = (-importance).argsort(1, kind="stable").argsort(1)
    return np.where(rank < shared, 0, (rank - shared) % experts + 1)


def assign(importance, activations, weights, shared, experts):
    return taylor(importance, shared, experts)


def distillation(stage, step, steps):
    return {"output": -1.0, "features": 1e30}
