"""AdaMoE: experts that compute nothing stand among the others, so that each token chooses how many true experts it takes.

m null experts, of no cost, join the n true ones, and k is raised. A token that chooses nulls takes fewer true experts than
one that does not. The loss fixes how many nulls are taken on average, not by whom, and not which: since all nulls are the
same, only their mean load enters::

    L = (n + m) sum_i f~_i P_i       f~_i = f_i for a true expert,  the mean of f over the nulls for each null one

Weights are the softmax over all n + m, divided by the sum over the chosen true experts; a token that chose nulls alone gets
nothing from the layer. At balance a token takes ``k n / (n + m)`` true experts on average.

Source: Zeng et al. 2024, "AdaMoE: Token-Adaptive Routing with Null Experts for Mixture-of-Experts Language Models", arXiv
2406.13233, section 3.

Defaults: as many nulls as true experts and twice k (the paper's figure of top-4 with two true ones on average), so that
balance costs what plain top-k costs. Weight 0.001, as in the authors' LoRA experiment.
Deviations: one router for all experts; the authors' code has a second one for the nulls, which matters when a trained model
is converted. The loss follows the formula: in the published code the line that averages the nulls slices another axis than
the experts', and so each null stays constrained by itself.
Edge cases: the nulls' probabilities enter by their sum alone, so that the router may well favour some of them; that costs
nothing. A layer all of whose tokens choose nulls passes on the residual and gives no gradient to its experts.
Not verified: the formula is recalled and agrees with the comments of the published code; the paper's table of (k, m) was not
read.
"""

import torch

COEFFICIENT = 1e-3  # published code
NULLS = 1  # per true expert
TUNABLE = {"COEFFICIENT": (1e-4, 1e-1)}


def cost(widths: list[float]) -> list[float]:
    """Appends the null experts to the true ones."""
    return [*widths, *[0.0] * (NULLS * len(widths))]


def schedule(k: int) -> dict[str, float]:
    """Raises k so that as many true experts as before are expected at balance, and sets the weight of the loss."""
    return {"k": k * (1 + NULLS), "coefficient": COEFFICIENT}


def gate(gates: torch.Tensor, mask: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Weighs the chosen true experts so that they sum to 1; ``gates`` and ``mask`` are ``(T, E)``, ``widths`` is ``(E)``."""
    true = gates * (mask & (widths > 0))
    return true / true.sum(-1, keepdim=True).clamp_min(torch.finfo(true.dtype).tiny)


def loss(load: torch.Tensor, probability: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Balances true experts one by one and null ones together; ``load`` and ``probability`` are ``(L, E)``."""
    null = widths == 0
    evened = torch.where(null, load[:, null].mean(-1, keepdim=True), load)
    return (load.shape[-1] * (evened * probability).sum(-1)).mean()
