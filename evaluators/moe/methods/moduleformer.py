"""ModuleFormer: a router with a hidden layer whose tokens shall be certain and whose experts shall share the tokens evenly.

The loss is minus the mutual information between token and expert: the entropy of a token's probabilities, which falls as
tokens decide, minus the entropy of their mean, which grows as the experts are used evenly::

    L = H(e|x) - H(e)       H(e|x) = mean_t H(p_t)       H(e) = H(mean_t p_t)

It lies between -log E (every token certain, every expert used alike) and 0 (all tokens have the same probabilities, flat or
not). Weights are the probabilities of the chosen experts, not divided by their sum. In training the last `SAMPLED` of a
token's k experts may be drawn instead of chosen, in proportion to their probabilities, without repetition.

Source: Shen et al. 2023, "ModuleFormer: Modularity Emerges from Mixture-of-Experts", arXiv 2306.04640, section on load
balancing; the rest as in the authors' code. Drawing without repetition by the largest perturbed logarithms: Kool, van Hoof &
Welling 2019, arXiv 1903.06059.

Defaults: the authors' `SAMPLED` is 0, their router has one hidden layer of 256 units (here: the trainer's size). The weight
is set by their trainer, its default is 0: 0.01 here.
Deviations: feed-forward experts only, no mixture of attention heads, no stick-breaking attention; no dropout in the router.
The authors add 1e-6 to the probabilities before they draw; here a logarithm's floor has that part.
Edge cases: `SAMPLED` must not exceed k. In evaluation `uniform` is 0.5 everywhere, all perturbations are equal, and the draw
becomes the plain choice of the k largest.
Not verified: the weight that the published models were trained with.
"""

import torch

COEFFICIENT = 0.01  # ours
SAMPLED = 0  # the authors' sample_topk
TINY = 1e-8  # the authors' floor under a logarithm
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1)}


def init() -> dict[str, str]:
    """Asks for a router with a hidden layer."""
    return {"router": "mlp"}


def schedule() -> dict[str, float]:
    """Sets the weight of the loss."""
    return {"coefficient": COEFFICIENT}


def select(selection: torch.Tensor, uniform: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Chooses the best ``k - SAMPLED`` experts of each token and draws the others; all but k are ``(T, E)``."""
    best = selection.topk(int(k) - SAMPLED, -1).indices
    kept = torch.zeros_like(selection, dtype=torch.bool).scatter(-1, best, True)
    # The largest log p + Gumbel noise are a draw without repetition in proportion to p.
    perturbed = selection.clamp_min(TINY).log() - (-uniform.log()).log()
    drawn = perturbed.masked_fill(kept, -torch.inf).topk(SAMPLED, -1).indices
    return kept.scatter(-1, drawn, True)


def gate(gates: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Weighs the chosen experts ``(T, E)`` by their probability among all experts."""
    return gates * mask


def loss(logits: torch.Tensor) -> torch.Tensor:
    """Maximises the mutual information of token and expert; ``logits`` are ``(L, T, E)``."""
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    share = p.mean(1)
    of_a_token = -(p * log_p).sum(-1).mean(-1)
    of_the_mean = -(share * share.clamp_min(TINY).log()).sum(-1)
    return (of_a_token - of_the_mean).mean()
