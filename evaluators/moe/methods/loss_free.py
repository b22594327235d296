"""Balancing without a loss: a bias per expert decides who is chosen, never how much an expert weighs.

    select by sigmoid(logits) + bias;   after each step   bias_i += RATE * sign(mean load - load_i)

Source: Wang et al. 2024, Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts (arXiv 2408.15664), section
3, Algorithm 1.

Defaults: the paper's rate is 0.001, for tens of thousands of steps; ``RATE`` 0.01 here, since runs of some hundred
steps end before the paper's reaches the biases it needs. The paper finds 0.0001 slow and 0.01 restless late in
training.

Deviations: weights of the k chosen experts sum to one (the trainer's default), as for the other methods here.

Edge cases: the step is as long near balance as far from it, so loads jitter around the mean. Sigmoids lie within (0,
1): two experts whose biases are 1 apart are ordered by the bias alone, whatever the token. Starting from zero and
moving apart by 2 * RATE per step, that takes at least 1 / (2 * RATE) steps. Counts rather than shares are compared, so
that a load at the mean has sign 0.
"""

from torch import Tensor

RATE = 0.01
TUNABLE = {"RATE": (1e-4, 1e-1)}


def score(logits: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Shifts the sigmoids of logits (T, E) by the bias (E) for the choice, and leaves them as they are for the weights."""
    gates = logits.sigmoid()
    return gates + bias, gates


def update(counts: Tensor, bias: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Raises the bias (L, E) of each expert below the mean count (L, E) by one step, and lowers the others."""
    lacking = counts.mean(-1, keepdim=True) - counts
    return bias + RATE * lacking.sign(), memory
