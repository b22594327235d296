"""A router: which experts a token goes to, how their answers are weighed, and what keeps all of them busy."""

import torch

# EVOLVE-BLOCK-START
RATE = 0.01  # of a bias's step towards an even load
COEFFICIENT = 0.0001  # of the loss within sequences
SCALE = 1.0  # of the weights
FROZEN = 0.03  # last share of the steps, in which biases stay


def schedule():
    """Weighs the loss."""
    return {"coefficient": COEFFICIENT}


def score(logits, bias):
    """Sigmoids of logits (T, E); the bias (E) counts in the choice only."""
    gates = torch.sigmoid(logits)
    return gates + bias, gates


def select(selection, k):
    """The k largest of selection (T, E), as a mask."""
    chosen = selection.topk(int(k), -1).indices
    return torch.zeros_like(selection, dtype=torch.bool).scatter(-1, chosen, True)


def gate(gates, mask):
    """Gates (T, E) of the chosen, divided by their sum."""
    weights = gates * mask
    return SCALE * weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)


def loss(sequence_load, sequence_probability):
    """Load times probability within each sequence, both (L, B, E)."""
    return sequence_load.shape[-1] * (sequence_load * sequence_probability).sum(-1).mean()


def update(counts, bias, memory, step, steps):
    """Moves the bias (L, E) by the sign of what counts (L, E) lack."""
    if step >= (1.0 - FROZEN) * steps:
        return bias, memory
    mean = counts.mean(-1, keepdim=True)
    return bias + RATE * torch.sign(mean - counts), memory


# EVOLVE-BLOCK-END
