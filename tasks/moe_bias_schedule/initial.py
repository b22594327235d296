"""Biases that keep the experts of every layer busy, without a loss: experts are chosen by score plus bias."""

import torch

# EVOLVE-BLOCK-START
RATE = 0.01  # of a step towards an even load
DECAY = 0.0  # power of the step's number that the rate is divided by
PROPORTIONAL = 0.0  # 0: steps of one size, 1: as large as the lack of load
MOMENTUM = 0.0  # of the lack that is remembered


def update(counts, bias, memory, step):
    """Moves the bias (L, E) by the sign of what each expert's count (L, E) lacks."""
    mean = counts.mean(-1, keepdim=True)
    lack = (mean - counts) / mean
    remembered = MOMENTUM * memory[:, 0] + (1.0 - MOMENTUM) * lack
    move = PROPORTIONAL * remembered + (1.0 - PROPORTIONAL) * torch.sign(remembered)
    rate = RATE / (step + 1.0) ** DECAY
    memory = torch.cat([remembered.unsqueeze(1), memory[:, 1:]], 1)
    return bias + rate * move, memory


# EVOLVE-BLOCK-END
