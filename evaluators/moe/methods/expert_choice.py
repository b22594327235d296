"""Expert choice: experts take tokens instead of tokens taking experts. Perfectly balanced, and not causal.

Each expert takes its ``k T / E`` best tokens of the batch. Every expert gets the same number of them, whatever the router
does, and no loss is needed; a token gets as many experts as want it, possibly none. But whether an expert has room for a
token depends on the tokens that come after it: a language model trained like this reads the future through its router, and
cannot write a text token by token. This file is a diagnostic: its cross-entropy cannot be compared, and the causality guard
must refuse it.

Source: Zhou et al. 2022, "Mixture-of-Experts with Expert Choice Routing", arXiv 2202.09368, section 3. How much leaks: Wang
et al. 2024, "Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts", arXiv 2408.15664, section on future-token
leakage.

Defaults: capacity factor k, so that it computes as much as top-k; the paper's factor is 2 (recalled). Weights are the softmax
over the experts, as they are.
Deviations: the choice is over all tokens that are handed in, not per group of a device. Capacity is rounded up.
Edge cases: a single token is taken by every expert: in evaluation token by token nothing is left of the training. Weights of
tokens that many experts take add up to more than of others.
Not verified: the paper's capacity factor.
"""

import math

import torch

TUNABLE: dict[str, tuple[float, float]] = {}


def select(selection: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Lets each expert take its best tokens: ``(T, E)`` in, ``(T, E)`` out, the same count in every column."""
    tokens, experts = selection.shape
    room = math.ceil(int(k) * tokens / experts)
    return torch.zeros_like(selection, dtype=torch.bool).scatter(0, selection.topk(room, 0).indices, True)


def gate(gates: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Weighs experts ``(T, E)`` by their probability, wherever they took the token."""
    return gates * mask
