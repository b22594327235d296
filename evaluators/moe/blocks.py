"""Mixture of Blocks: of each group of adjacent blocks, a sequence goes through a few only.

A group of m blocks has a router that looks at the whole sequence once and chooses kappa of them by the largest of
``alpha W_x x + (1 - alpha) W_y y``; those are run in their order, the others are passed by. It is depth pruning in which what is
pruned depends on the input, and the last stage of Dense2MoE; any model may be the start, dense or converted.

Source: Dense2MoE (arXiv 2510.09094). There x is the image under way with its time step, y the pooled text that asks for it. A
language model has neither: here x is the mean of what enters the group, y the mean of the embeddings, both over the first
`BlocksConfig.prefix` bytes, since a mean over the whole sequence would tell the bytes to come. What is predicted before the
prefix has ended does not count for the same reason.
Ours: a chosen block has weight 1, and its probability gives the router a gradient (straight-through); inputs of routers are
normalised; Switch's loss keeps blocks of a group alike in use.
Not verified: how the paper weighs chosen blocks, and its alpha.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from evolve.evaluators.moe.balancer import top_k
from evolve.evaluators.moe.corpus import load_corpus
from evolve.evaluators.moe.dense import nowhere
from evolve.evaluators.moe.descent import Descent, deterministic, training_batch
from evolve.evaluators.moe.distillation import BALANCE, balance_loss, feature_loss, output_loss
from evolve.evaluators.moe.measuring import byte_losses
from evolve.evaluators.moe.model import SMALL, Route, Transformer
from evolve.evaluators.moe.spec import Size


@dataclass(frozen=True, slots=True)
class BlocksConfig:
    """How blocks are grouped and chosen.

    Attributes:
        group: Adjacent blocks of a group (m).
        active: Blocks of a group that a sequence goes through (kappa).
        alpha: Weight of what enters the group against what the sequence begins with.
        prefix: Bytes that routers look at.
    """

    group: int = 2
    active: int = 1
    alpha: float = 0.5
    prefix: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.active <= self.group:
            raise ValueError(f"active must lie in 1 to group = {self.group}, got {self.active}")
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha must lie in [0, 1], got {self.alpha}")
        if self.prefix < 1:
            raise ValueError(f"prefix must be >= 1, got {self.prefix}")


class Passed(NamedTuple):
    """What sequences made of the groups.

    Attributes:
        outputs: ``(B, S, width)``, what leaves each group.
        probabilities: ``(B, m)`` of each group.
        masks: ``(B, m)`` bool of each group, the blocks that were run.
    """

    outputs: list[Tensor]
    probabilities: list[Tensor]
    masks: list[Tensor]


class MixtureOfBlocks(nn.Module):
    """A model whose sequences go through some blocks only."""

    def __init__(self, model: Transformer, config: BlocksConfig, seed: int) -> None:
        """Groups a copy of a model's blocks.

        Args:
            model: It stays as it is.
            config: Groups.
            seed: Of the routers' weights.

        Raises:
            ValueError: If the blocks do not make whole groups, or the prefix is longer than a sequence.
        """
        super().__init__()
        layers, width = model.config.layers, model.config.width
        if layers % config.group:
            raise ValueError(f"{layers} blocks do not make groups of {config.group}")
        if config.prefix > model.config.length:
            raise ValueError(f"prefix must be <= length = {model.config.length}, got {config.prefix}")
        self.config = config
        self.model = copy.deepcopy(model)
        groups = layers // config.group
        self.of_sample = nn.ModuleList(nn.Linear(width, config.group, bias=False) for _ in range(groups))
        self.of_text = nn.ModuleList(nn.Linear(width, config.group, bias=False) for _ in range(groups))
        generator = torch.Generator().manual_seed(seed)
        for router in (*self.of_sample, *self.of_text):
            nn.init.normal_(router.weight, std=SMALL, generator=generator)

    def scores(self, group: int, x: Tensor, y: Tensor) -> Tensor:
        """What a group's router says of each sequence.

        Args:
            group: From 0.
            x: ``(B, S, width)``, what enters the group.
            y: ``(B, S, width)``, embeddings.

        Returns:
            ``(B, m)``.
        """
        alpha, prefix = self.config.alpha, self.config.prefix
        by_sample, by_text = self.of_sample[group](_pooled(x, prefix)), self.of_text[group](_pooled(y, prefix))
        scores: Tensor = alpha * by_sample + (1 - alpha) * by_text
        return scores

    def forward(self, tokens: Tensor, route: Route = nowhere) -> Passed:
        """Sends sequences through the groups.

        Args:
            tokens: ``(B, S)`` integers below 256.
            route: Of the experts, where the model has them; is asked about the sequences that a block is run for.
        """
        y = self.model.embedding(tokens)
        x, passed = y, Passed([], [], [])
        for group in range(len(self.of_sample)):
            probabilities = self.scores(group, x, y).softmax(-1)
            mask = top_k(probabilities.detach(), self.config.active)
            weights = 1 + probabilities - probabilities.detach()
            for place in range(self.config.group):
                x = self._through(group * self.config.group + place, x, mask[:, place], weights[:, place], route)
            for kept, value in zip(passed, (x, probabilities, mask), strict=True):
                kept.append(value)
        return passed

    def read(self, passed: Passed) -> Tensor:
        """Predictions: ``(B, S, 256)`` logits."""
        return self.model.read(passed.outputs[-1])

    def _through(self, layer: int, x: Tensor, mask: Tensor, weights: Tensor, route: Route) -> Tensor:
        """Runs a block for those sequences that chose it."""
        chosen = mask.nonzero().squeeze(1)
        if not len(chosen):
            return x
        before = x[chosen]
        after = self.model.blocks[layer](before, self.model.rotation, route, layer)
        return x.index_copy(0, chosen, before + weights[chosen, None, None] * (after - before))


def blocks_cross_entropy(mixture: MixtureOfBlocks, tokens: Tensor, route: Route = nowhere) -> Tensor:
    """Predicts the bytes behind the prefix: ``(B,)`` nats per byte of each sequence, of tokens ``(B, S + 1)``."""
    # The routers have seen the prefix: the first byte that they do not know is predicted at its last place.
    return byte_losses(mixture.read(mixture(tokens[:, :-1], route)), tokens)[:, mixture.config.prefix - 1 :].mean(1)


def distil_blocks(mixture: MixtureOfBlocks, teacher: Transformer, size: Size, seed: int) -> list[float]:
    """Trains a mixture of blocks by the dense model that it was made of.

    The loss is the output's, that of what leaves each group against what leaves the teacher's last block of the same group, and
    the balancing one; only what lies behind the prefix counts.

    Args:
        mixture: It is changed.
        teacher: It stays as it is.
        size: Of the teacher, with the training: steps, rate, batches.
        seed: Of the batches.

    Returns:
        The loss of each step.

    Raises:
        Invalid: If the training diverges.
    """
    corpus, behind, group = load_corpus(), mixture.config.prefix - 1, mixture.config.group
    losses = []
    with deterministic(size.training.device):
        descent = Descent(mixture.named_parameters(), size.training)
        for step in range(size.training.steps):
            tokens = training_batch(corpus, size, seed, step)[:, :-1]
            with torch.no_grad():
                theirs = teacher.outputs(tokens, nowhere)[group - 1 :: group]
                wanted = teacher.read(theirs[-1])[:, behind:]
            passed = mixture(tokens)
            output = output_loss(mixture.read(passed)[:, behind:], wanted)
            features = feature_loss([x[:, behind:] for x in passed.outputs], [x[:, behind:] for x in theirs], output)
            loss = output + features + BALANCE * balance_loss(passed.probabilities, passed.masks)
            descent.step(loss, step / size.training.steps, step)
            losses.append(float(loss.detach()))
    return losses


def _pooled(x: Tensor, prefix: int) -> Tensor:
    """Mean of a sequence's beginning, normalised: ``(B, S, width)`` to ``(B, width)``."""
    return functional.layer_norm(x[:, :prefix].mean(1), x.shape[-1:])
