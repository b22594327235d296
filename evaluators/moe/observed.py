"""What a step's routing amounts to: the numbers that `loss` and `update` may ask for, each computed when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from evolve.evaluators.moe.router import Seen
from evolve.evaluators.moe.vocabulary import HOOKS


class Observed:
    """Routing of one step: L layers, T tokens in M micro-batches and B sequences, E experts."""

    def __init__(
        self, seen: Sequence[Seen], *, micro_batches: int, sequences: int, k: Sequence[int], step: int, steps: int
    ) -> None:
        """Takes what a pass saw.

        Args:
            seen: By layer; tokens in the order of micro-batch, sequence and position.
            micro_batches: M.
            sequences: Of all micro-batches together (B).
            k: Per layer.
            step: From 0.
            steps: Of the training.
        """
        self._seen = seen
        self._micro_batches = micro_batches
        self._sequences = sequences
        self.k = torch.tensor(list(k))
        self.step = torch.tensor(step)
        self.steps = torch.tensor(steps)

    def inputs(self, hook: str) -> dict[str, Callable[[], Tensor]]:
        """Those of these numbers that a hook may ask for; only `loss` gets them with gradients."""
        names = [name for name in HOOKS[hook].inputs if hasattr(type(self), name) or name in vars(self)]
        return {name: partial(self._value, name, attached=hook == "loss") for name in names}

    def _value(self, name: str, *, attached: bool) -> Tensor:
        value: Tensor = getattr(self, name)
        return value if attached else value.detach()

    @property
    def differentiated(self) -> list[Tensor]:
        """What all gradients of the balancing loss go through, neither of them by way of the other."""
        return [tensor for tensor in (self.logits, self._gate_shares) if tensor.requires_grad]

    @cached_property
    def logits(self) -> Tensor:
        """``(L, T, E)``."""
        return torch.stack([seen.logits for seen in self._seen])

    @cached_property
    def mask(self) -> Tensor:
        """``(L, T, E)`` bool."""
        return torch.stack([seen.mask for seen in self._seen])

    @cached_property
    def scores(self) -> Tensor:
        """Gates, ``(L, T, E)``, without gradients."""
        return torch.stack([seen.gates.detach() for seen in self._seen])

    @cached_property
    def counts(self) -> Tensor:
        """How many tokens chose each expert, ``(L, E)``."""
        return self._micro_counts.sum(1)

    @cached_property
    def load(self) -> Tensor:
        """Share of all choices that fell on each expert (f), ``(L, E)``."""
        return _shares(self.counts)

    @cached_property
    def micro_load(self) -> Tensor:
        """The same of each micro-batch, ``(L, M, E)``."""
        return _shares(self._micro_counts)

    @cached_property
    def running_load(self) -> Tensor:
        """The same of the micro-batches up to each one, ``(L, M, E)``: the buffer of Qiu et al. (arXiv 2501.11873)."""
        return _shares(self._micro_counts.cumsum(1))

    @cached_property
    def sequence_load(self) -> Tensor:
        """The same of each sequence, ``(L, B, E)``."""
        return _shares(self.mask.unflatten(1, (self._sequences, -1)).sum(2).float())

    @cached_property
    def probability(self) -> Tensor:
        """Mean over the tokens of gates that are divided by their sum (P), ``(L, E)``."""
        return self.micro_probability.mean(1)

    @cached_property
    def micro_probability(self) -> Tensor:
        """The same of each micro-batch, ``(L, M, E)``."""
        return self._grouped_probability(self._micro_batches)

    @cached_property
    def sequence_probability(self) -> Tensor:
        """The same of each sequence, ``(L, B, E)``."""
        return self._grouped_probability(self._sequences)

    @cached_property
    def contribution(self) -> Tensor:
        """Sum over tokens of what the loss would change to first order without an expert's answer, ``(L, E)``.

        That is ``|<dCE/d(mixture), weight * answer>|``, which is also the weight times its gradient; to be asked for once there
        are gradients.
        """
        parts = [_contribution(seen.weights) for seen in self._seen]
        return torch.stack(parts)

    @cached_property
    def _micro_counts(self) -> Tensor:
        return self.mask.unflatten(1, (self._micro_batches, -1)).sum(2).float()

    @cached_property
    def _gate_shares(self) -> Tensor:
        """Gates of each token divided by their sum, ``(L, T, E)``."""
        gates = torch.stack([seen.gates for seen in self._seen]).clamp_min(0)
        return gates / gates.sum(-1, keepdim=True).clamp_min(1e-9)

    def _grouped_probability(self, groups: int) -> Tensor:
        return self._gate_shares.unflatten(1, (groups, -1)).mean(2)


def _shares(counts: Tensor) -> Tensor:
    return counts / counts.sum(-1, keepdim=True).clamp_min(1)


def _contribution(weights: Tensor) -> Tensor:
    if weights.grad is None:
        return torch.zeros(weights.shape[1], device=weights.device)
    return (weights.detach() * weights.grad).abs().sum(0)
