"""Shares the hidden units of dense networks out among experts."""

import numpy as np

# EVOLVE-BLOCK-START
OUTPUT = 1.0
FEATURES = 1.0
BALANCE = 0.01


def assign(importance, activations, weights, shared, experts):
    """Gives the most important units to the shared expert and deals the others out in turn."""
    assignment = np.zeros(importance.shape, dtype=np.int64)
    for layer in range(len(importance)):
        order = np.argsort(-importance[layer], kind="stable")
        rest = order[shared:]
        assignment[layer, rest] = np.arange(len(rest)) % experts + 1
    return assignment


def distillation(stage, step, steps):
    """Weighs the terms of the loss."""
    return {"output": OUTPUT, "features": FEATURES, "balance": BALANCE}


# EVOLVE-BLOCK-END
