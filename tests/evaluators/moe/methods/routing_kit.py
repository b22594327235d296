"""Four tokens over four experts, whose numbers the tests of methods work out by hand, and what the trainer does around hooks."""

import importlib
import inspect

import torch

#: (T, E). The experts' means are 0.4, 0.275, 0.2 and 0.125; each token's favourites are experts 0, 0, 0 and 1.
PROBABILITIES = torch.tensor(
    [
        [0.4, 0.3, 0.2, 0.1],
        [0.4, 0.1, 0.3, 0.2],
        [0.7, 0.1, 0.1, 0.1],
        [0.1, 0.6, 0.2, 0.1],
    ]
)
MEANS = torch.tensor([0.4, 0.275, 0.2, 0.125])
LOAD = torch.tensor([0.75, 0.25, 0.0, 0.0])


def top_k(selection, k):
    """The trainer's default choice, as a mask."""
    return torch.zeros_like(selection, dtype=torch.bool).scatter(-1, selection.topk(k, -1).indices, True)


def counts_of(mask):
    """How many tokens each expert has, (..., T, E) to (..., E)."""
    return mask.sum(-2).float()


def max_violation(counts):
    """How far the fullest expert is above the mean, relative to it."""
    return float(counts.max() / counts.mean() - 1)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def scores_of(seed, tokens, experts):
    """A softmax over normal logits, with experts that are liked more than others."""
    logits = torch.randn(tokens, experts, generator=seeded(seed)) + torch.randn(experts, generator=seeded(seed + 1))
    return logits.softmax(-1)


def method(name):
    """A method's module."""
    return importlib.import_module(f"evolve.evaluators.moe.methods.{name}")


def call(hook, inputs):
    """Calls a hook with what it asks for."""
    return hook(**{name: inputs[name] for name in inspect.signature(hook).parameters})
