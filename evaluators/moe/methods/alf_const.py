"""Balancing without a loss, by a constant rate: the further an expert is from the mean load, the further its bias moves.

    select by sigmoid(logits) + bias;   after update n   bias_i += RATE * e_i      e_i = (mean load - load_i) / mean load

One of four step sizes for one scheme: choosing the experts maximises the Lagrangian of the problem "assign k experts to
each token, the same number of tokens to each expert, with the largest sum of scores", and moving the biases is one step
along the subgradient of its dual.

Source: Han & Zhong 2025, A Theoretical Framework for Auxiliary-Loss-Free Load Balancing (arXiv 2512.03915). Of the
paper the abstract was read; the rule is derived from its primal-dual description, so its own rates are not known here.

Defaults: ``RATE`` 0.01: an expert without tokens (e = 1) moves as far as under ``loss_free``.

Deviations: the lack of tokens is divided by the mean load, so that the step does not depend on the size of the batch;
scores are sigmoids, as in ``loss_free``, so that the four differ in nothing but the step.

Edge cases: a lack is at most 1 but an excess as much as E / k - 1, so overloaded experts are pushed down faster than
idle ones are raised. The step shrinks near balance and never stops: it follows a router that keeps moving, and jitters
with the batch.
"""

from torch import Tensor

RATE = 0.01
TUNABLE = {"RATE": (1e-4, 1e-1)}


def score(logits: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Shifts the sigmoids of logits (T, E) by the bias (E) for the choice, and leaves them as they are for the weights."""
    gates = logits.sigmoid()
    return gates + bias, gates


def update(counts: Tensor, bias: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Moves the bias (L, E) in proportion to how far the counts (L, E) lie below their mean."""
    mean = counts.mean(-1, keepdim=True)
    return bias + RATE * (mean - counts) / mean, memory
