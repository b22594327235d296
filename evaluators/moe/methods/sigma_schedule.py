"""Sigma-MoE-Tiny's progressive sparsification: the lowest layers take more experts per token until late in training.

With very many experts and one per token, balancing fails in the lowest layers. So these begin denser, the lowest densest, and
only when most of training is done do all layers take the target k. All through, Switch's loss ``E sum_i f_i P_i`` balances
each layer.

Source: Hu et al. 2025, "Sigma-MoE-Tiny Technical Report", arXiv 2512.16248, section on progressive sparsification; Switch's
loss: Fedus, Zoph & Shazeer 2021, arXiv 2101.03961, section 2.2.

Defaults: `LOWEST` lists the experts per token of the eight lowest of the authors' 56 layers, target 1; the switch comes at
nine tenths of training. Weight 0.01, Switch's.
Deviations: the list counts multiples of the target k. Models below 16 layers read it at even distances over their lower half
(four layers: 8 and 4 times k in the lowest two). A layer never takes more than half of its experts, since with all of them
there would be nothing to route, but never fewer than k. The authors restart from a checkpoint with another k; here k changes
within the run.
Edge cases: until the switch this computes more than its budget, which is to be charged, not refused. One layer has no lower
half: plain Switch. Evaluation before the switch sees the denser layers.
Not verified: the list and the moment of the switch are recalled, not read; the authors' saving at the switch (a quarter of
the active parameters) hints at a longer list.
"""

import torch

COEFFICIENT = 0.01  # Switch's
LOWEST = (8, 8, 6, 6, 4, 4, 2, 2)  # recalled
SWITCH = 0.9  # ours: "late"; a share of the steps
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1)}


def schedule(step: int, steps: int, layers: int, experts: int, k: int) -> dict[str, list[int] | float]:
    """Sets the experts per token of every layer, lowest first, and the weight of the loss."""
    if step >= SWITCH * steps:
        return {"k": [k] * layers, "coefficient": COEFFICIENT}
    dense = min(len(LOWEST), layers // 2)
    most = max(k, experts // 2)
    low = [min(k * LOWEST[layer * len(LOWEST) // dense], most) for layer in range(dense)]
    return {"k": low + [k] * (layers - dense), "coefficient": COEFFICIENT}


def loss(load: torch.Tensor, probability: torch.Tensor) -> torch.Tensor:
    """Balances each layer by Switch's loss; both are ``(L, E)``, shares of 1 whatever the layer's k."""
    return (load.shape[-1] * (load * probability).sum(-1)).mean()
