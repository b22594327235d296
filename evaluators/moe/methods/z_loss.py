"""Switch's balancing loss with the router z-loss, which keeps logits small.

    loss = E * sum_i load_i * probability_i  +  (Z_COEFFICIENT / COEFFICIENT) * mean_t logsumexp(logits_t)^2

The trainer multiplies the whole by ``COEFFICIENT``, so that the second term weighs ``Z_COEFFICIENT``.

Source: Zoph et al. 2022, ST-MoE (arXiv 2202.08906), section 3, for the z-loss; Fedus et al. 2021 (arXiv 2101.03961),
section 2.2, for the other term.

Defaults: ``Z_COEFFICIENT`` 0.001 and ``COEFFICIENT`` 0.01 are the papers' (both recalled, not read again).

Deviations: none known; tokens are never dropped.

Edge cases: the z-loss does not balance anything. All logits zero give log(E)^2; its minimum, zero, is where the
exponentials of a token's logits sum to one, that is at -log(E) for a uniform router. Small logits flatten the
probabilities, which makes it cheaper to satisfy the other term without moving a token (see ``switch``).
"""

from torch import Tensor

COEFFICIENT = 0.01
Z_COEFFICIENT = 0.001
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1), "Z_COEFFICIENT": (1e-4, 1e-2)}


def schedule() -> dict[str, float]:
    """Weighs the loss."""
    return {"coefficient": COEFFICIENT}


def loss(logits: Tensor, load: Tensor, probability: Tensor) -> Tensor:
    """Adds the squared log-partition of logits (L, T, E) to Switch's loss of load and probability, both (L, E)."""
    balance = probability.shape[-1] * (load * probability).sum(-1).mean()
    size = logits.logsumexp(-1).square().mean()
    return balance + Z_COEFFICIENT / COEFFICIENT * size
