"""A loss that keeps the experts of every layer busy; the trainer adds 0.01 times its value to the cross-entropy."""

import torch

# EVOLVE-BLOCK-START
STRENGTH = 1.0  # of the whole, beside the trainer's weight
POWER = 1.0  # of the load, as a weight of the probability
DEAD = 0.0  # an expert with less than this share of the mean load counts as dead
REVIVAL = 0.0  # weight of a pull on dead experts


def loss(load, probability):
    """Global-batch balancing: each expert's probability (L, E), weighed by its load (L, E) in the whole step."""
    experts = load.shape[-1]
    weight = (load * experts) ** POWER
    balance = (weight * probability).sum(-1)
    dead = torch.relu(DEAD / experts - probability) * (load < DEAD / experts)
    return STRENGTH * (balance + REVIVAL * dead.sum(-1)).mean()


# EVOLVE-BLOCK-END
