import torch


def select(selection, k):
    """Every expert takes its best tokens of all: which they are depends on tokens to come."""
    tokens, experts = selection.shape
    chosen = selection.topk(max(1, tokens * int(k) // experts), 0).indices
    return torch.zeros_like(selection, dtype=torch.bool).scatter(0, chosen, True)
