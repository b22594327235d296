"""ModuleFormer's pruning: a trained model is trained further on one domain with its load concentrated, and idle experts go.

What is left serves that domain with fewer experts and has lost part of what it knew of the others: `specialise` reports both.

Source: Shen et al. 2023, "ModuleFormer: Modularity Emerges from Mixture-of-Experts", arXiv 2306.04640; the loss and what is not
verified of it are in `methods.moduleformer_concentration`.
Ours: of each layer at least the k busiest experts stay, whatever the threshold, since a token goes to k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evolve.evaluators.moe.balancer import top_k
from evolve.evaluators.moe.calling import LocalMethod
from evolve.evaluators.moe.corpus import load_corpus
from evolve.evaluators.moe.descent import deterministic
from evolve.evaluators.moe.measuring import Measured, cross_entropy, held_out, measure
from evolve.evaluators.moe.methods import moduleformer_concentration
from evolve.evaluators.moe.methods.moduleformer_concentration import PRUNED, prune
from evolve.evaluators.moe.router import Pass
from evolve.evaluators.moe.trainer import Start, Training, train


@dataclass(frozen=True, slots=True)
class PruningConfig:
    """How a model is specialised.

    Attributes:
        steps: Of the training on the domain.
        learning_rate: Its highest; lower than that of the first training, which it goes on from.
        coefficient: Weight of the concentration loss.
        threshold: Share of a layer's choices below which an expert goes, in units of an even share 1/E.
    """

    steps: int = 100
    learning_rate: float = 1e-3
    coefficient: float = 0.1
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be >= 1, got {self.steps}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate}")
        if self.coefficient < 0:
            raise ValueError(f"coefficient must be >= 0, got {self.coefficient}")
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold must lie in [0, 1], got {self.threshold}")


@dataclass(frozen=True, slots=True)
class Specialised:
    """What became of a model.

    Attributes:
        domain: That it was specialised in.
        domains: All of them, in the order of the measurements.
        kept: ``(L, E)`` bool, the experts that are left.
        before: The model that was there, on held-out text.
        concentrated: After the training on the domain.
        pruned: After the idle experts were taken out.
        training: Of the domain; its model and balancer are those that were pruned.
    """

    domain: str
    domains: tuple[str, ...]
    kept: np.ndarray
    before: Measured
    concentrated: Measured
    pruned: Measured
    training: Training

    @property
    def kept_share(self) -> float:
        """Experts that are left, as a share."""
        return float(self.kept.mean())

    @property
    def lost_here(self) -> float:
        """Cross-entropy on the domain that pruning cost, nats per byte."""
        return self._lost[self.domains.index(self.domain)]

    @property
    def lost_elsewhere(self) -> float:
        """The same of the other domains, their mean."""
        losses = [loss for domain, loss in zip(self.domains, self._lost, strict=True) if domain != self.domain]
        return sum(losses) / len(losses)

    @property
    def _lost(self) -> list[float]:
        """Cross-entropy that pruning cost, by domain."""
        return [after - before for after, before in zip(self.pruned.cross_entropy, self.concentrated.cross_entropy, strict=True)]


def specialise(model: Training, domain: str, config: PruningConfig, seed: int) -> Specialised:
    """Trains a model further on one domain, its load concentrated, and prunes it.

    Args:
        model: Of the method ``moduleformer``, whose router it must have; it stays as it is.
        domain: One of the corpus.
        config: How.
        seed: Of the batches.

    Raises:
        ValueError: If there is no such domain, or the model has another router.
        Invalid: If the training diverges.
    """
    domains = model.domains
    if domain not in domains:
        raise ValueError(f"domain must be one of {', '.join(domains)}, got {domain!r}")
    if model.balancer.router != "mlp" or model.balancer.null_experts:
        raise ValueError(f"the model has a {model.balancer.router} router; train it with the method moduleformer")
    training = replace(model.size.training, steps=config.steps, learning_rate=config.learning_rate, shift=0.0)
    method = LocalMethod.load(Path(moduleformer_concentration.__file__), {"COEFFICIENT": config.coefficient})
    after = train(method, replace(model.size, training=training), seed, start=Start(model.model, domain))
    kept = busy(_load(after), config.threshold, model.size.model.active)
    after.balancer.bias = torch.where(kept, 0.0, PRUNED).to(after.balancer.device)
    pruned = _measured(after)
    return Specialised(domain, domains, kept.numpy(), model.final, after.final, pruned, after)


def busy(load: Tensor, threshold: float, k: int) -> Tensor:
    """Finds the experts that stay.

    Args:
        load: ``(L, E)`` shares of a layer's choices.
        threshold: In units of an even share.
        k: Of each layer, so many stay at least.

    Returns:
        ``(L, E)`` bool.
    """
    # The k busiest count as if they reached the threshold.
    least = threshold / load.shape[1]
    counted = torch.where(top_k(load, k), load.clamp_min(least), load)
    return prune(torch.zeros_like(load), counted, least) > PRUNED


def _load(training: Training) -> Tensor:
    """Shares of the choices in the last quarter of a training, ``(L, E)``: held-out text has no say in what stays."""
    counts = torch.from_numpy(training.loads[-math.ceil(len(training.loads) / 4) :].sum(0)).float()
    return counts / counts.sum(-1, keepdim=True)


@torch.no_grad()
def _measured(training: Training) -> Measured:
    """Measures a finished training's model, with the state that its balancer has."""
    size, steps = training.size, training.size.training.steps
    schedule = training.balancer.schedule(steps, steps, size.training.coefficient)

    def look(start: int, tokens: Tensor) -> tuple[Tensor, Pass]:
        generator = torch.Generator().manual_seed(start)
        routing = Pass(training.balancer, schedule, steps, training=False, generator=generator)
        return cross_entropy(training.model, tokens.to(size.training.device), routing), routing

    with deterministic(size.training.device):
        text = held_out(load_corpus(), size.training.held_out, size.model.length)
        return measure(text, size, size.sequences, look)
