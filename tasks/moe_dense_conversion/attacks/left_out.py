"""Leaves the least important hidden units out."""

import numpy as np


def taylor(importance, shared, experts):
    rank = (-importance).argsort(1, kind="stable").argsort(1)
    return np.where(rank < shared, 0, (rank - shared) % experts + 1)


def assign(importance, activations, weights, shared, experts):
    rank = (-importance).argsort(1, kind="stable").argsort(1)
    return np.where(rank < shared * 2, taylor(importance, shared, experts), -1)
