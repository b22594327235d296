"""ShinkaEvolve's found loss with a gradient: hardly used experts are pulled up by their own probabilities.

The loss was found by program evolution, starting from Switch's loss over the global batch::

    L = mean_l ( E sum_i f_i P_i  +  HINGE s(P) sum_i max(0, FLOOR/E - f_i) )         s(P) = 0.5 + (1 - H(P) / log E)

The sum over max(0, ...) counts what dead experts lack to a small floor; s(P), between 0.5 and 1.5, is larger the more the
layer's probabilities are concentrated. f is a count without gradient, so as printed no expert is pulled up
(`shinka_found_literal`). Here the penalty sees ``f + P - stopped(P)``: its value is the same, its gradient goes to P_i of
just the experts below the floor.

Source: Lange, Imajuku & Cetin 2025, "ShinkaEvolve: Towards Open-Ended and Sample-Efficient Program Evolution", arXiv
2509.19349, sections 4.4 and B.4. Straight-through gradients: Bengio, Leonard & Courville 2013, arXiv 1308.3432. Switch's
loss: Fedus, Zoph & Shazeer 2021, arXiv 2101.03961, section 2.2.

Defaults: weight 0.01, the penalty's own weight 0.1, all as in the paper's text. The floor is 0.064 of the even share (see
`shinka_found_ste_064`).
Deviations: the gradient of the penalty. f and P are those of the whole step, the paper's global batch.
Edge cases: needs E > 1. Where no expert lacks tokens this is Switch's loss, value and gradient.
Not verified: which gradient the authors' program had; the task is not among the released ones.
"""

import math

import torch

COEFFICIENT = 0.01
FLOOR = 0.064  # of the even share 1/E
HINGE = 0.1
TINY = 1e-8  # floor under a logarithm
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1), "HINGE": (1e-2, 10.0)}


def schedule() -> dict[str, float]:
    """Sets the weight of the loss."""
    return {"coefficient": COEFFICIENT}


def loss(load: torch.Tensor, probability: torch.Tensor) -> torch.Tensor:
    """Balances, and raises the probability of hardly used experts; both are ``(L, E)``."""
    experts = load.shape[-1]
    balance = experts * (load * probability).sum(-1)
    entropy = -(probability * probability.clamp_min(TINY).log()).sum(-1)
    strength = 0.5 + (1 - entropy / math.log(experts))
    felt = load + (probability - probability.detach())
    lacking = (FLOOR / experts - felt).relu().sum(-1)
    return (balance + HINGE * strength * lacking).mean()
