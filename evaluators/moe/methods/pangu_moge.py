"""Pangu Pro MoE: every token takes the same number of experts of every group, so that no device waits for another.

The experts are dealt in order to equal groups, one group per device. A token's scores are one softmax over all experts, but
the choice is made apart in each group: its `PER_GROUP` best. Every group then computes exactly ``PER_GROUP * T`` expert
calls, whatever the router does; the imbalance between devices is zero by construction. Weights are the chosen scores as they
are, not divided by their sum. Inside a group nothing is balanced by construction, and a loss of Switch's kind does it::

    L = mean_g (E/M) sum_{i in g} f_i^g P_i^g          f^g, P^g: shares inside group g, each summing to 1

It is 1 where either share is uniform. The gradient moves probability inside a group only, never from one group to another.

Source: Tang et al. 2025, "Pangu Pro MoE: Mixture of Grouped Experts for Efficient Sparsity", arXiv 2505.21411, section on
grouped experts (MoGE).

Defaults: one expert of every group (the published model: 64 experts in 8 groups, k = 8), so there are k groups.
Deviations: the paper fixes the groups by the devices, here they follow from k; the published inference code multiplies the
weights by a learned scale per expert, which is left out; shared experts are the model's business. The mean over the groups,
not the sum, makes a weight mean what it means for Switch, whatever the number of groups.
Edge cases: k must be a multiple of `PER_GROUP` and the experts must divide evenly; with k = 1 this is plain top-1 with
Switch's loss.
Not verified: the paper's own loss and its weight could not be read; this is the natural form of one inside groups.
"""

import torch

COEFFICIENT = 0.01  # ours
PER_GROUP = 1  # the paper's k / M
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1)}


def schedule() -> dict[str, float]:
    """Sets the weight of the loss."""
    return {"coefficient": COEFFICIENT}


def select(selection: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Chooses the best `PER_GROUP` experts of each group: ``(T, E)`` in, ``(T, E)`` out."""
    grouped = by_group(selection, int(k))
    best = grouped.topk(PER_GROUP, -1).indices
    return torch.zeros_like(grouped, dtype=torch.bool).scatter(-1, best, True).flatten(-2)


def gate(gates: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Weighs the chosen experts ``(T, E)`` by their share among all experts."""
    return gates * mask


def loss(load: torch.Tensor, probability: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Balances inside the groups; ``load`` and ``probability`` are ``(L, E)``, ``k`` is ``(L)`` and the same in all layers."""
    f, p = (by_group(x, int(k[0])) for x in (load, probability))
    within = (f / f.sum(-1, keepdim=True)) * (p / p.sum(-1, keepdim=True))
    return f.shape[-1] * within.sum(-1).mean()


def by_group(x: torch.Tensor, k: int) -> torch.Tensor:
    """Views the experts ``(..., E)`` as groups ``(..., M, E/M)`` of neighbours.

    Raises:
        ValueError: If k experts cannot be taken evenly, or E experts not dealt evenly.
    """
    experts, groups = x.shape[-1], k // PER_GROUP
    if k % PER_GROUP or experts % groups:
        raise ValueError(f"{experts} experts cannot give {k} of them as {PER_GROUP} per group; change PER_GROUP")
    return x.unflatten(-1, (groups, experts // groups))
