"""Leaves nothing to learn from in the last step."""

import numpy as np


def taylor(importance, shared, experts):
    rank = (-importance).argsort(1, kind="stable").argsort(1)
    return np.where(rank < shared, 0, (rank - shared) % experts + 1)


def assign(importance, activations, weights, shared, experts):
    return taylor(importance, shared, experts)


def distillation(stage, step, steps):
    last = stage == "experts" and step == steps - 1
    return {"output": 0.0, "features": 0} if last else {}
