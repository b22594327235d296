"""Balancing without a loss, by a rate that falls with the square root of the updates.

    select by sigmoid(logits) + bias;   after update n   bias_i += RATE / sqrt(n) * e_i      e_i = (mean load - load_i) / mean load

One of four step sizes for one scheme: choosing the experts maximises the Lagrangian of the problem "assign k experts to
each token, the same number of tokens to each expert, with the largest sum of scores", and moving the biases is one step
along the subgradient of its dual.

Source: Han & Zhong 2025, A Theoretical Framework for Auxiliary-Loss-Free Load Balancing (arXiv 2512.03915). Of the
paper the abstract was read; the rule is derived from its primal-dual description, so its own rates are not known here.

Defaults: ``RATE`` 0.1: the tenfold of ``alf_const``, which it meets at the hundredth update.

Deviations: the lack of tokens is divided by the mean load, so that the step does not depend on the size of the batch;
scores are sigmoids, as in ``loss_free``, so that the four differ in nothing but the step.

Edge cases: the first steps are the longest, at a time when scores of the experts hardly differ and a small bias moves
many tokens.
"""

from torch import Tensor

RATE = 0.1
TUNABLE = {"RATE": (1e-3, 1.0)}


def score(logits: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Shifts the sigmoids of logits (T, E) by the bias (E) for the choice, and leaves them as they are for the weights."""
    gates = logits.sigmoid()
    return gates + bias, gates


def update(counts: Tensor, bias: Tensor, memory: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Moves the bias (L, E) in proportion to the lack in counts (L, E), less with each update; ``step`` counts from 0."""
    mean = counts.mean(-1, keepdim=True)
    return bias + RATE / (step + 1) ** 0.5 * (mean - counts) / mean, memory
