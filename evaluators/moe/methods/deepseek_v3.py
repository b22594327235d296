"""The router of DeepSeek-V3: a bias chooses, few groups per token, scaled weights, and a small loss within each sequence.

    select   the k largest of sigmoid(logits) + bias within the LIMIT best of GROUPS groups of experts
    weigh    SCALE * sigmoid(logits) of the chosen, divided by their sum
    loss     E * sum_i load_i * probability_i of each sequence
    update   bias_i += RATE * sign(mean load - load_i), not at all in the last FROZEN of the training

A group is what one node holds, and counts as much as its k / LIMIT largest biased scores together.

Source: DeepSeek-AI 2024, DeepSeek-V3 Technical Report (arXiv 2412.19437), section 2.1.2 for the formulas, 4.2 for the
numbers; read in third parties' notes. Groups and scale are recalled from the published configuration.

Defaults: ``GROUPS`` 8, ``LIMIT`` 4, ``SCALE`` 2.5, ``COEFFICIENT`` 0.0001, ``FROZEN`` 0.5 of 14.8 T tokens, with 256
experts and k = 8 there. Their rate is 0.001; ``RATE`` 0.01 here for runs of some hundred steps (see ``loss_free``).

Deviations: the shared expert is the model's business. With k = 1 weights are not divided by their sum, since the router
would then learn nothing from the cross-entropy.

Edge cases: the limit of groups binds where k is larger than LIMIT; up to there the k best experts lie within the LIMIT
best groups anyway, and any number of experts will do. Beyond, GROUPS must divide E and LIMIT of them hold k experts.
The biases bring about balance over a batch only; the loss is for sequences, too weak to balance by itself.
"""

import torch
from torch import Tensor

RATE = 0.01
COEFFICIENT = 0.0001
GROUPS = 8
LIMIT = 4
SCALE = 2.5
FROZEN = 0.5 / 14.8
TUNABLE = {"RATE": (1e-4, 1e-1), "COEFFICIENT": (1e-5, 1e-2)}

#: Keeps the sum of sigmoids that are all zero from dividing by zero.
TINY = 1e-20


def schedule() -> dict[str, float]:
    """Weighs the loss."""
    return {"coefficient": COEFFICIENT}


def score(logits: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Shifts the sigmoids of logits (T, E) by the bias (E) for the choice, and leaves them as they are for the weights."""
    gates = logits.sigmoid()
    return gates + bias, gates


def select(selection: Tensor, k: Tensor) -> Tensor:
    """Chooses the k largest of selection (T, E) within the best groups, as a mask (T, E)."""
    active = int(k)
    if active > LIMIT:
        selection = _within_best_groups(selection, active // LIMIT)
    chosen = selection.topk(active, -1).indices
    return torch.zeros_like(selection, dtype=torch.bool).scatter(-1, chosen, True)


def gate(gates: Tensor, mask: Tensor, k: Tensor) -> Tensor:
    """Makes weights (T, E) that sum to SCALE of the gates (T, E) under the mask (T, E)."""
    weights = gates * mask
    if int(k) > 1:
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(TINY)
    return SCALE * weights


def loss(sequence_load: Tensor, sequence_probability: Tensor) -> Tensor:
    """Multiplies load by probability within each sequence, both (L, B, E); mean over layers and sequences."""
    return sequence_load.shape[-1] * (sequence_load * sequence_probability).sum(-1).mean()


def update(counts: Tensor, bias: Tensor, memory: Tensor, step: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Moves the bias (L, E) by the sign of what counts (L, E) lack, until the last part of the training."""
    if step >= (1 - FROZEN) * steps:
        return bias, memory
    return bias + RATE * (counts.mean(-1, keepdim=True) - counts).sign(), memory


def _within_best_groups(selection: Tensor, counted: int) -> Tensor:
    """Puts experts outside the LIMIT groups with the largest sums of ``counted`` scores out of reach."""
    groups = selection.unflatten(-1, (GROUPS, -1))
    best = groups.topk(counted, -1).values.sum(-1).topk(LIMIT, -1).indices
    outside = torch.ones_like(groups[..., 0], dtype=torch.bool).scatter(-1, best, False)
    return groups.masked_fill(outside.unsqueeze(-1), -torch.inf).flatten(-2)
