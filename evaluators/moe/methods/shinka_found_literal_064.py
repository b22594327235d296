"""ShinkaEvolve's found loss, as printed, at the larger floor: Switch's loss plus a penalty while some expert is hardly used at all.

The loss was found by program evolution, starting from Switch's loss over the global batch::

    L = mean_l ( E sum_i f_i P_i  +  HINGE s(P) sum_i max(0, FLOOR/E - f_i) )         s(P) = 0.5 + (1 - H(P) / log E)

The sum over max(0, ...) counts what dead experts lack to a small floor; s(P), between 0.5 and 1.5, is larger the more the
layer's probabilities are concentrated. Taken literally f is a count and has no gradient: what lacks only scales the gradient
of s(P), which flattens all probabilities of the layer and does not single out the dead expert. `shinka_found_ste_064` is the
other reading.

Source: Lange, Imajuku & Cetin 2025, "ShinkaEvolve: Towards Open-Ended and Sample-Efficient Program Evolution", arXiv
2509.19349, sections 4.4 and B.4. Switch's loss: Fedus, Zoph & Shazeer 2021, arXiv 2101.03961, section 2.2.

Defaults: weight 0.01, the penalty's own weight 0.1, all as in the paper's text, but for the floor: 0.64 of the even share,
which a reader of the paper's code listing reports; the text has 0.064.
Deviations: none. f and P are those of the whole step, the paper's global batch.
Edge cases: needs E > 1. Where no expert lacks tokens this is Switch's loss to the last bit, value and gradient.
Not verified: the listing itself was not read, so that 0.64 may be a misreading; nor whether the authors' program computed the
penalty like this.
"""

import math

import torch

COEFFICIENT = 0.01
FLOOR = 0.64  # of the even share 1/E
HINGE = 0.1
TINY = 1e-8  # floor under a logarithm
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1), "HINGE": (1e-2, 10.0)}


def schedule() -> dict[str, float]:
    """Sets the weight of the loss."""
    return {"coefficient": COEFFICIENT}


def loss(load: torch.Tensor, probability: torch.Tensor) -> torch.Tensor:
    """Balances, and penalises hardly used experts by their load; both are ``(L, E)``."""
    experts = load.shape[-1]
    balance = experts * (load * probability).sum(-1)
    entropy = -(probability * probability.clamp_min(TINY).log()).sum(-1)
    strength = 0.5 + (1 - entropy / math.log(experts))
    lacking = (FLOOR / experts - load).relu().sum(-1)
    return (balance + HINGE * strength * lacking).mean()
