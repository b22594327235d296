"""Answers for one layer, so that the others might follow."""

import numpy as np


def taylor(importance, shared, experts):
    rank = (-importance).argsort(1, kind="stable").argsort(1)
    return np.where(rank < shared, 0, (rank - shared) % experts + 1)


def assign(importance, activations, weights, shared, experts):
    return taylor(importance, shared, experts)[:1]
