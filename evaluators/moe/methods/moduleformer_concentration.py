"""ModuleFormer's load concentration: fine-tuning gathers the work in few experts, and those without work are pruned.

On the data of one purpose the loss lowers the entropy of the mean probabilities, the opposite of balancing::

    L = H(e) = - sum_i P_i log P_i         P = mean_t p_t

It lies between 0 (all probability on one expert) and log E (all alike). Experts whose share of the selections falls below a
threshold are then pruned: a bias that no logit outweighs takes them out of the softmax. `prunable` and `prune` do that
between training and evaluation; they are no hooks.

Source: Shen et al. 2023, "ModuleFormer: Modularity Emerges from Mixture-of-Experts", arXiv 2306.04640, sections on load
concentration and on pruning.

Defaults: weight 0.01, ours. Router and weights of the experts as in `moduleformer`.
Deviations: the threshold applies to the share of selections, which the trainer counts.
Edge cases: a layer must keep at least k experts, or pruned ones are chosen (with weight 0); a threshold of at most ``1/E``
always keeps one. Pruning is kept in the bias, so bias-based balancing cannot be combined with it.
Not verified: the loss is recalled from the paper's description, its formula and weight were not read.
"""

import torch

COEFFICIENT = 0.01  # ours
PRUNED = -1e4  # finite, so that nothing becomes NaN; exp of it is 0
TINY = 1e-8  # floor under a logarithm, as in `moduleformer`
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1)}


def init() -> dict[str, str]:
    """Asks for a router with a hidden layer."""
    return {"router": "mlp"}


def schedule() -> dict[str, float]:
    """Sets the weight of the loss."""
    return {"coefficient": COEFFICIENT}


def score(logits: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Leaves pruned experts out of the softmax; ``logits`` are ``(T, E)``, ``bias`` is ``(E)``: 0 or `PRUNED`."""
    gates = (logits + bias).softmax(-1)
    return gates.detach(), gates


def gate(gates: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Weighs the chosen experts ``(T, E)`` by their probability among all that are left."""
    return gates * mask


def loss(probability: torch.Tensor) -> torch.Tensor:
    """Gathers the probability ``(L, E)`` in few experts of each layer."""
    return -(probability * probability.clamp_min(TINY).log()).sum(-1).mean()


def prunable(load: torch.Tensor, threshold: float) -> torch.Tensor:
    """Finds the experts ``(L, E)`` whose share of a layer's selections lies below a threshold."""
    return load < threshold


def prune(bias: torch.Tensor, load: torch.Tensor, threshold: float) -> torch.Tensor:
    """Returns the bias ``(L, E)`` with prunable experts switched off; those that were off stay off.

    Raises:
        ValueError: If a layer would lose all of its experts.
    """
    pruned = torch.where(prunable(load, threshold), PRUNED, bias)
    empty = (pruned <= PRUNED).all(-1).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"threshold {threshold} would prune every expert of layers {empty}; take a lower one, at most 1/E")
    return pruned
