"""Balances the average over many batches: probabilities are weighed by the gradient of a potential at their running mean.

    loss  = sum_i probability_i * log(E * mean_i)               potential: negative entropy
    after each step   mean = (1 - RATE) * mean + RATE * probability

A batch is a noisy sample of where tokens go. The running mean is what the method balances; the batch at hand only
carries the gradient.

Source: Chen et al. 2026, phi-Balancing for Mixture-of-Experts Training (arXiv 2605.15403). The abstract and third
parties' notes were read.

Defaults: ``RATE`` is 0.01 in the notes, that is a memory of a hundred steps; 0.1 here, for runs of some hundred.
``COEFFICIENT`` 0.01: near balance the gradient is then that of ``switch`` at its default (log(E * m) is about E * m -
1). The paper's own weight was not read.

Deviations: of the gradient log(m) + 1 the constant is replaced by log(E), which changes no gradient, since
probabilities sum to one, and makes the loss zero at balance. The paper's other form, minus the gradient as a bias of
the choice, is left out.

Edge cases: the mean starts at balance, so the loss says nothing until it has moved. It lags: an expert that is back at
its share is pushed on until the mean is there too. Like ``switch``, it balances probabilities, which flat logits
satisfy while the loads stay uneven.
"""

import torch
from torch import Tensor

COEFFICIENT = 0.01
RATE = 0.1
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1), "RATE": (1e-2, 1.0)}

#: Keeps the logarithm finite for an expert whose probability has been zero for long.
TINY = 1e-12


def init(experts: int, layers: int) -> dict[str, list[list[list[float]]]]:
    """Starts the running mean, the first row of memory, at balance."""
    balanced = [[1 / experts] * experts] + [[0.0] * experts] * 3
    return {"memory": [balanced] * layers}


def schedule() -> dict[str, float]:
    """Weighs the loss."""
    return {"coefficient": COEFFICIENT}


def loss(probability: Tensor, memory: Tensor) -> Tensor:
    """Multiplies probability (L, E) by the logarithm of the running mean, relative to balance; mean over the layers."""
    mean = memory[:, 0].clamp_min(TINY)
    return (probability * (probability.shape[-1] * mean).log()).sum(-1).mean()


def update(probability: Tensor, bias: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Moves the running mean towards the batch's probability (L, E)."""
    mean = (1 - RATE) * memory[:, :1] + RATE * probability.unsqueeze(1)
    return bias, torch.cat([mean, memory[:, 1:]], 1)
