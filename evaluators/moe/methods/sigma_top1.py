"""Sigma-MoE-Tiny's Top-1 loss: balances a differentiable stand-in for the load, so that flat probabilities are no way out.

Switch's loss ``E sum f P`` is at its minimum when either the load f or the probability P is uniform. With many experts and
one per token the low layers choose the second: the router becomes undecided, P flat, and f stays uneven. This loss leaves f
out. A temperature sharpens the probabilities, their mean stands for the load, and the divisor asks every token to be
decided::

    p = softmax(z / TEMPERATURE)      fhat_i = mean_t p_ti      L = E sum_i fhat_i^2 / mean_t max_i p_ti

The minimum is 1, for tokens that are certain of one expert and experts that share the tokens evenly. Tokens that are all
undecided (all p = 1/E) and tokens that all want the same expert cost the same: E, the maximum.

Source: Hu et al. 2025, "Sigma-MoE-Tiny Technical Report", arXiv 2512.16248; the loss as on the authors' project page.

Defaults: the authors' temperature is not given: 1 here, try 0.1 to 1. Their weight is not given either: 0.01.
Deviations: none known. It is meant for k = 1; for k > 1 it balances the first choices only.
Edge cases: scaling the logits by 0.01 raises this loss towards E, where it lowers Switch's towards 1. The authors warn that
near perfect balance costs quality, and trained their model by a schedule instead (`sigma_schedule`).
Not verified: temperature, weight, and whether the batch that fhat averages is a device's or the whole step's (here: the
step's).
"""

import torch

COEFFICIENT = 0.01  # ours
TEMPERATURE = 1.0  # ours; of this loss alone, routing does not see it
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1), "TEMPERATURE": (1e-1, 1.0)}


def schedule() -> dict[str, float]:
    """Sets the weight of the loss."""
    return {"coefficient": COEFFICIENT}


def loss(logits: torch.Tensor) -> torch.Tensor:
    """Balances the mean of sharpened probabilities; ``logits`` are ``(L, T, E)``."""
    p = (logits / TEMPERATURE).softmax(-1)
    share = p.mean(1)
    certainty = p.amax(-1).mean(-1)
    return (p.shape[-1] * share.square().sum(-1) / certainty).mean()
