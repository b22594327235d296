"""Switch's loss with the load of the whole batch in place of each micro-batch's own.

    loss = mean_j E * sum_i running_load_ji * probability_ji          j: micro-batches of one optimiser step

A micro-batch holds text of one kind. Balancing inside each forces every kind of text onto every expert; balancing over
all of them lets experts specialise as long as the sum is even. ``running_load[j]`` counts micro-batches 0 to j: the
buffer that the paper keeps where micro-batches come one after the other, emptied after each optimiser step.

Source: Qiu et al. 2025, Demons in the Detail (arXiv 2501.11873), the method's section, with the buffer for gradient
accumulation.

Defaults: ``COEFFICIENT`` 0.01 as in the seed program of ShinkaEvolve (arXiv 2509.19349, section 4.4); the paper's own
was not read.

Deviations: one process, so the buffer replaces the sum over devices. The 1 % of micro-batch loss that the authors add
for speed is left out.

Edge cases: the first micro-batches of a step see little more than themselves. With one micro-batch per step, or all of
them alike, this is Switch's loss.
"""

from torch import Tensor

COEFFICIENT = 0.01
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1)}


def schedule() -> dict[str, float]:
    """Weighs the loss."""
    return {"coefficient": COEFFICIENT}


def loss(running_load: Tensor, micro_probability: Tensor) -> Tensor:
    """Multiplies the load so far (L, M, E) by each micro-batch's probability (L, M, E); mean over layers and micro-batches."""
    return micro_probability.shape[-1] * (running_load * micro_probability).sum(-1).mean()
