"""Trains a converted model to do what the dense one did, in Dense2MoE's stages.

1. The model without its normal experts learns from the dense one: everything but experts and routers is trained.
2. All that is frozen; normal experts and routers learn to make up the difference, and to share the tokens evenly.
3. Whole blocks become a mixture: see `blocks`.

In each stage the loss is a sum of terms (`Terms`): of the output, of what leaves each block, of balance. The terms of the blocks
are weighed so that none outweighs the output's (`feature_weights`).

Source: Dense2MoE (arXiv 2510.09094). Deviations: the output of a language model is a distribution, so its distance to the
teacher's is the Kullback-Leibler divergence (Hinton et al. 2015, arXiv 1503.02531, at temperature 1) where a diffusion model's is a
squared difference. There is no term for the text itself, as in the paper: it would train a small model on, whatever its cut.
Not verified: see `conversion`; the paper's learning rates and lengths do not carry over to models of this size in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from evolve.evaluators.moe.conversion import Chosen, shared_only
from evolve.evaluators.moe.corpus import load_corpus
from evolve.evaluators.moe.dense import nowhere
from evolve.evaluators.moe.descent import Descent, deterministic, training_batch
from evolve.evaluators.moe.model import Route, Transformer
from evolve.evaluators.moe.spec import Size, TrainingConfig

#: Weight of the balancing loss in the second stage.
BALANCE = 1e-2

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Terms:
    """Weights of the loss's terms in one step.

    Attributes:
        output: Distance of the predictions to the teacher's.
        features: Distances of what leaves each block to what leaves the teacher's, each weighed by `feature_weights`.
        balance: The balancing loss, E sum f P, mean over layers; counts in the second stage only.
    """

    output: float = 1.0
    features: float = 1.0
    balance: float = BALANCE

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0.0 <= getattr(self, field.name) <= 100.0:
                raise ValueError(f"the weight of {field.name} must lie in [0, 100], got {getattr(self, field.name)}")
        if self.output == self.features == 0:
            raise ValueError("one of the weights of output and features must be > 0, or there is nothing to learn from")


@dataclass(frozen=True, slots=True)
class DistillationConfig:
    """How long a converted model learns from its teacher, and how fast.

    Attributes:
        shared_steps: Of the first stage.
        expert_steps: Of the second.
        shared_rate: Highest learning rate of the first stage: its weights come from a trained model and need less.
        expert_rate: Of the second stage.
    """

    shared_steps: int = 20
    expert_steps: int = 40
    shared_rate: float = 5e-4
    expert_rate: float = 2e-3

    def __post_init__(self) -> None:
        for name in ("shared_steps", "expert_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")

    @property
    def steps(self) -> int:
        """Of both stages."""
        return self.shared_steps + self.expert_steps


def feature_weights(output: float, features: Sequence[float], norms: Sequence[float]) -> list[float]:
    """Weighs the distance of each block's output so that it counts as much as that of the model's.

    ``w_l = |L_output| / |L_l| * (sum_j ||f_j||) / (L ||f_l||)``: blocks whose outputs are large by themselves count for less.

    Source: Dense2MoE (arXiv 2510.09094).

    Args:
        output: Loss of the output.
        features: Loss of each block.
        norms: Norm of the teacher's output of each block.
    """
    mean = sum(norms) / len(norms)
    return [abs(output) / max(abs(each), _TINY) * mean / max(norm, _TINY) for each, norm in zip(features, norms, strict=True)]


def feature_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], output: Tensor) -> Tensor:
    """Sums the weighted distances of blocks' outputs.

    Args:
        student: ``(B, S, width)`` of each block.
        teacher: The same.
        output: Loss of the model's output; only its value counts.
    """
    distances = [(ours - theirs).square().mean() for ours, theirs in zip(student, teacher, strict=True)]
    norms = [float(theirs.norm(dim=-1).mean()) for theirs in teacher]
    weights = feature_weights(float(output.detach()), [float(each.detach()) for each in distances], norms)
    return torch.stack([weight * each for weight, each in zip(weights, distances, strict=True)]).sum()


def output_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Divergence of a student's predictions from its teacher's, nats per byte; both are logits ``(B, S, 256)``."""
    ours, theirs = student.flatten(0, 1).log_softmax(-1), teacher.flatten(0, 1).log_softmax(-1)
    return functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def balance_loss(probabilities: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """Switch's loss E sum f P, mean over layers: 1 where choices are shared evenly.

    Source: Fedus et al. 2021, arXiv 2101.03961.

    Args:
        probabilities: ``(T, E)`` of each layer.
        masks: ``(T, E)`` bool of each layer.
    """
    each = []
    for probability, mask in zip(probabilities, masks, strict=True):
        share = mask.float().mean(0) / mask.float().mean(0).sum()
        each.append(mask.shape[1] * (share * probability.mean(0)).sum())
    return torch.stack(each).mean()


def distil(
    student: Transformer,
    teacher: Transformer,
    size: Size,
    seed: int,
    *,
    config: DistillationConfig = DistillationConfig(),
    terms: Callable[[int], Terms] = lambda _: Terms(),
) -> list[float]:
    """Trains a converted model by its teacher, first without normal experts and then these.

    Args:
        student: Of `conversion.convert`; it is changed.
        teacher: The dense model; it stays as it is.
        size: Of the dense model, with the training that says what a batch is. Batches go on where its training ended.
        seed: Of the batches, and the dense model's.
        config: How long, how fast.
        terms: Weights of the loss's terms, by the number of the step, from 0 to ``config.steps - 1`` through both stages.

    Returns:
        The loss of each step.

    Raises:
        Invalid: If the training diverges.
    """
    active = student.config.active
    new = {name for name, _ in student.named_parameters() if ".router." in name or ".experts." in name}
    first = replace(size.training, steps=config.shared_steps, learning_rate=config.shared_rate)
    second = replace(size.training, steps=config.expert_steps, learning_rate=config.expert_rate)
    old = {name for name, _ in student.named_parameters()} - new
    stage = _Stage(student, teacher, size, seed)
    with deterministic(size.training.device):
        losses = stage.run(old, first, lambda: shared_only, terms, 0)
        losses += stage.run(new, second, lambda: Chosen(active), terms, config.shared_steps)
    return losses


class _Stage:
    """What a student learns by: the same teacher, the same text in both stages."""

    def __init__(self, student: Transformer, teacher: Transformer, size: Size, seed: int) -> None:
        self.student, self.teacher, self.size, self.seed = student, teacher, size, seed
        self.corpus = load_corpus()

    def run(
        self,
        trained: set[str],
        config: TrainingConfig,
        route: Callable[[], Route],
        terms: Callable[[int], Terms],
        begin: int,
    ) -> list[float]:
        """Trains the named weights; ``begin`` is the number of the first step."""
        for name, weight in self.student.named_parameters():
            weight.requires_grad_(name in trained)
        descent = Descent([pair for pair in self.student.named_parameters() if pair[0] in trained], config)
        losses = []
        for step in range(config.steps):
            tokens = training_batch(self.corpus, self.size, self.seed, self.size.training.steps + begin + step)
            loss = self._loss(tokens, route(), terms(begin + step))
            descent.step(loss, step / config.steps, begin + step)
            losses.append(float(loss.detach()))
        self.student.requires_grad_(True)
        return losses

    def _loss(self, tokens: Tensor, route: Route, terms: Terms) -> Tensor:
        with torch.no_grad():
            theirs = self.teacher.outputs(tokens[:, :-1], nowhere)
            wanted = self.teacher.read(theirs[-1])
        ours = self.student.outputs(tokens[:, :-1], route)
        output = output_loss(self.student.read(ours[-1]), wanted)
        loss = terms.output * output
        if terms.features:
            loss = loss + terms.features * feature_loss(ours, theirs, output)
        if terms.balance and isinstance(route, Chosen):
            loss = loss + terms.balance * balance_loss(route.probabilities, route.masks)
        return loss
