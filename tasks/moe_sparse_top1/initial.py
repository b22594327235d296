"""Balances 64 experts of which every token goes to one: where Switch's loss is content with an undecided router."""

import torch

# EVOLVE-BLOCK-START
COEFFICIENT = 0.01  # of the loss, beside the cross-entropy
SHARPNESS = 1.0  # what logits are multiplied by before the loss sees their probabilities
RATE = 0.0  # of a bias that helps experts with little load


def schedule():
    """Weighs the loss."""
    return {"coefficient": COEFFICIENT}


def loss(logits, load):
    """Switch's loss: load (L, E) times mean probability, from logits (L, T, E)."""
    probability = torch.softmax(SHARPNESS * logits, -1).mean(1)
    return load.shape[-1] * (load * probability).sum(-1).mean()


def update(load, bias, memory):
    """Moves the bias (L, E) towards experts with less than the mean load (L, E)."""
    mean = load.mean(-1, keepdim=True)
    return bias + RATE * torch.sign(mean - load), memory


# EVOLVE-BLOCK-END
