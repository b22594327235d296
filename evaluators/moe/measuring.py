"""Measures a model on held-out text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evolve.evaluators.moe.corpus import Corpus
from evolve.evaluators.moe.model import Route, Transformer
from evolve.evaluators.moe.router import Pass
from evolve.evaluators.moe.spec import Size


@dataclass(frozen=True, slots=True)
class Measured:
    """A model on held-out text.

    Attributes:
        cross_entropy: Nats per byte, by domain.
        counts: ``(D, L, E)`` tokens that chose each expert that computes.
        active: Floating-point operations of the experts that were chosen, in units of those of k full experts per token.
        margin: Mean difference of a token's k-th and next largest gate.
        router_entropy: Mean entropy of a token's gates, in units of the largest.
    """

    cross_entropy: tuple[float, ...]
    counts: np.ndarray
    active: float
    margin: float
    router_entropy: float

    @property
    def mean_cross_entropy(self) -> float:
        """Nats per byte, every domain counted alike."""
        return sum(self.cross_entropy) / len(self.cross_entropy)


class HeldOut(NamedTuple):
    """Held-out sequences of all domains by turns, so that every batch has all of them.

    Attributes:
        domains: ``(N,)`` the domain of each.
        tokens: ``(N, S + 1)``.
    """

    domains: np.ndarray
    tokens: np.ndarray


def held_out(corpus: Corpus, each: int, length: int) -> HeldOut:
    """Takes so many sequences of each domain."""
    tokens = np.stack([corpus.held_out(domain, each, length) for domain in corpus.domains], 1)
    return HeldOut(np.tile(np.arange(len(corpus.domains)), each), tokens.reshape(-1, length + 1))


def cross_entropy(model: Transformer, tokens: Tensor, route: Route) -> Tensor:
    """Predicts every byte of some sequences but the first.

    Args:
        model: Whose predictions count.
        tokens: ``(B, S + 1)`` integers.
        route: Where tokens go.

    Returns:
        ``(B,)`` nats per byte of each sequence.
    """
    return byte_losses(model(tokens[:, :-1], route), tokens).mean(1)


def byte_losses(logits: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy of every byte, ``(B, S)`` nats, from logits ``(B, S, 256)`` and tokens ``(B, S + 1)``."""
    each = functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    return each.view(len(tokens), -1)


@torch.no_grad()
def cross_entropy_by_domain(model: Transformer, text: HeldOut, route: Route, batch: int = 64) -> tuple[float, ...]:
    """Measures a model whose routes need no balancer: nats per byte of each domain.

    Args:
        model: What predicts.
        text: What it is to predict.
        route: Where tokens go.
        batch: Sequences at once.
    """
    parts = torch.from_numpy(text.tokens.astype(np.int64)).split(batch)
    return _by_domain(text, torch.cat([cross_entropy(model, part, route) for part in parts]))


def measure(text: HeldOut, size: Size, batch: int, look: Callable[[int, Tensor], tuple[Tensor, Pass]]) -> Measured:
    """Measures a model.

    Args:
        text: What it is to predict.
        size: Of the model.
        batch: Sequences at once; hooks are bound for batches of this size, so the last one is filled up with the first sequences.
        look: Given the number of a batch's first sequence and its tokens, returns the cross-entropy of each sequence, and the
            pass that routed them.
    """
    losses, counts, margins, entropies = [], [], [], []
    for start in range(0, len(text.tokens), batch):
        chosen = np.arange(start, start + batch) % len(text.tokens)
        loss, routing = look(start, torch.from_numpy(text.tokens[chosen].astype(np.int64)))
        losses.append(loss.cpu())
        counts.append(torch.stack([seen.mask for seen in routing.seen]).unflatten(1, (batch, -1)).sum(2).cpu())
        margins += [_margin(seen.gates, k) for seen, k in zip(routing.seen, routing.schedule.k, strict=True)]
        entropies += [_entropy(seen.gates) for seen in routing.seen]
    # Tokens of each sequence by expert: (N, L, E).
    counts_of = torch.cat(counts, 1)[:, : len(text.tokens), : size.model.experts].transpose(0, 1).numpy()
    each = [text.domains == domain for domain in range(int(text.domains.max()) + 1)]
    return Measured(
        _by_domain(text, torch.cat(losses)[: len(text.tokens)]),
        np.stack([counts_of[some].sum(0) for some in each]),
        _active(counts_of, size),
        sum(margins) / len(margins),
        sum(entropies) / len(entropies),
    )


def _by_domain(text: HeldOut, losses: Tensor) -> tuple[float, ...]:
    """Means over the sequences of each domain."""
    loss_of = losses.double().numpy()
    return tuple(float(loss_of[text.domains == domain].mean()) for domain in range(int(text.domains.max()) + 1))


def _active(counts: np.ndarray, size: Size) -> float:
    model = size.model
    return float((counts * np.asarray(model.shares)).sum()) / (len(counts) * model.length * model.layers * model.active)


def _margin(gates: Tensor, k: int) -> float:
    if k >= gates.shape[1]:
        return 0.0
    largest = gates.topk(k + 1, -1).values
    return float((largest[:, k - 1] - largest[:, k]).mean())


def _entropy(gates: Tensor) -> float:
    positive = gates.clamp_min(0)
    shares = positive / positive.sum(-1, keepdim=True).clamp_min(1e-9)
    return float(torch.special.entr(shares).sum(-1).mean()) / math.log(max(2, gates.shape[1]))
