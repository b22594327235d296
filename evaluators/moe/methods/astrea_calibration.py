"""Our counterpart of Astrea's contribution calibration: experts that move the loss more get more weight.

Of Astrea only the abstract could be read: it speaks of weights that adapt to what each of several unequal experts contributes,
and gives no formula. This is the least that deserves the description. The contribution of an expert is what removing it would
change to first order: the inner product of its weighted output with the gradient of the cross-entropy by the layer's output,
absolute, summed over its tokens. Normalised to mean 1 in each layer, it is averaged over steps::

    a_i <- (1 - RATE) a_i + RATE c_i / mean_j c_j         weight_i ~ softmax(z)_i a_i

and multiplies the weights of the chosen experts. The choice itself stays the plain one. Switch's loss balances, so that
against Switch the calibration is the only difference.

Source: Yang et al. 2025, "Astrea: A MOE-based Visual Understanding Model with Progressive Alignment", arXiv 2503.09445,
abstract. Contribution as gradient times activation: Molchanov et al. 2017, arXiv 1611.06440, section 2.2. Switch's loss:
Fedus, Zoph & Shazeer 2021, arXiv 2101.03961, section 2.2.

Defaults: all ours. RATE 0.01 averages over some hundred steps. Weight of the loss 0.01, Switch's.
Deviations: no contrastive alignment of the experts, no momentum encoder, no probabilistic residual connection.
Edge cases: contribution grows with tokens and with the weight itself, so calibration favours what is used already; Switch's
loss holds against it by the tokens. A layer without any contribution keeps its calibration. With k = 1 the weight is not
divided by itself, as in the trainer's default.
Not verified: everything beyond the abstract.
"""

import torch

COEFFICIENT = 0.01  # Switch's
RATE = 0.01  # ours
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1), "RATE": (1e-3, 1e-1)}


def init(experts: int, layers: int) -> dict[str, list[list[list[float]]]]:
    """Starts every calibration at 1, in the first row of the memory."""
    unused = [0.0] * experts
    return {"memory": [[[1.0] * experts, unused, unused, unused] for _ in range(layers)]}


def schedule() -> dict[str, float]:
    """Sets the weight of the loss."""
    return {"coefficient": COEFFICIENT}


def gate(gates: torch.Tensor, mask: torch.Tensor, memory: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Multiplies the weights by the calibration; ``gates`` and ``mask`` are ``(T, E)``, ``memory`` is ``(R, E)``."""
    calibrated = gates * mask * memory[0]
    if int(k) == 1:
        return calibrated
    return calibrated / calibrated.sum(-1, keepdim=True).clamp_min(torch.finfo(calibrated.dtype).tiny)


def loss(load: torch.Tensor, probability: torch.Tensor) -> torch.Tensor:
    """Balances each layer by Switch's loss; both are ``(L, E)``."""
    return (load.shape[-1] * (load * probability).sum(-1)).mean()


def update(contribution: torch.Tensor, bias: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Averages contributions ``(L, E)`` into the first row of the memory ``(L, R, E)``; the bias stays as it is."""
    mean = contribution.mean(-1, keepdim=True)
    calibration = memory[:, 0]
    averaged = calibration + RATE * (contribution / mean - calibration)
    return bias, torch.cat([torch.where(mean > 0, averaged, calibration).unsqueeze(1), memory[:, 1:]], 1)
