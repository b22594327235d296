"""The auxiliary loss of GShard and Switch: each expert's share of the tokens times its mean probability.

    loss = E * sum_i load_i * probability_i            1 at balance, at most E / k

The load is counted and has no gradient; the probability carries it. An expert that is chosen too often is pushed down
in proportion to how often.

Source: Lepikhin et al. 2020, GShard (arXiv 2006.16668), Algorithm 1; Fedus et al. 2021, Switch Transformers (arXiv
2101.03961), section 2.2.

Defaults: ``COEFFICIENT`` 0.01 is Switch's (recalled, not read again). ``CAPACITY`` 0 drops no token; the papers drop
what an expert has no room for, with factors of 2.0 (GShard, two experts per token) and 1.25 (Switch, one), both
recalled.

Deviations: the load counts all k choices, where GShard counts the first only. GShard's second expert is used at random,
in proportion to its gate; here always.

Edge cases: the loss is 1 where either factor is even. Logits scaled towards zero bring it there while every choice, and
so the load, stays as it was. Below 1 it falls where experts that are chosen often, by a narrow lead, have the lower
mean probability. With a capacity, a share of 1 - 1 / CAPACITY of the room stays empty even at balance.
"""

from torch import Tensor

COEFFICIENT = 0.01
CAPACITY = 0.0
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1)}


def schedule() -> dict[str, float]:
    """Weighs the loss, and limits what an expert takes in training (0: no limit)."""
    return {"coefficient": COEFFICIENT, "capacity": CAPACITY}


def loss(load: Tensor, probability: Tensor) -> Tensor:
    """Multiplies load (L, E) by probability (L, E); mean over the layers."""
    return probability.shape[-1] * (load * probability).sum(-1).mean()
