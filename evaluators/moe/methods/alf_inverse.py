"""Balancing without a loss, by a rate that falls with the number of updates, for which the regret grows as a logarithm.

    select by sigmoid(logits) + bias;   after update n   bias_i += RATE / n * e_i      e_i = (mean load - load_i) / mean load

One of four step sizes for one scheme: choosing the experts maximises the Lagrangian of the problem "assign k experts to
each token, the same number of tokens to each expert, with the largest sum of scores", and moving the biases is one step
along the subgradient of its dual.

Source: Han & Zhong 2025, A Theoretical Framework for Auxiliary-Loss-Free Load Balancing (arXiv 2512.03915). Of the
paper the abstract was read; the rule is derived from its primal-dual description, so its own rates are not known here.

Defaults: ``RATE`` 1.0: the hundredfold of ``alf_const``, which it meets at the hundredth update.

Deviations: the lack of tokens is divided by the mean load, so that the step does not depend on the size of the batch;
scores are sigmoids, as in ``loss_free``, so that the four differ in nothing but the step.

Edge cases: the bound holds for scores drawn from one distribution. A router that learns is none: late updates are too
short to follow it. The first steps are so long that the loads swing from one side to the other until the rate has
fallen.
"""

from torch import Tensor

RATE = 1.0
TUNABLE = {"RATE": (1e-2, 10.0)}


def score(logits: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Shifts the sigmoids of logits (T, E) by the bias (E) for the choice, and leaves them as they are for the weights."""
    gates = logits.sigmoid()
    return gates + bias, gates


def update(counts: Tensor, bias: Tensor, memory: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Moves the bias (L, E) in proportion to the lack in counts (L, E), less with each update; ``step`` counts from 0."""
    mean = counts.mean(-1, keepdim=True)
    return bias + RATE / (step + 1) * (mean - counts) / mean, memory
