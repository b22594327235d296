"""Puts most hidden units into the shared expert, which every byte goes through."""

import numpy as np


def taylor(importance, shared, experts):
    rank = (-importance).argsort(1, kind="stable").argsort(1)
    return np.where(rank < shared, 0, (rank - shared) % experts + 1)


def assign(importance, activations, weights, shared, experts):
    return np.where(taylor(importance, 3 * shared, experts) == 0, 0, taylor(importance, shared, experts))
