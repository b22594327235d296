"""A dense model to be converted: one feed-forward network per block, which every byte goes through."""

from __future__ import annotations

from torch import Tensor

from evolve.evaluators.moe.corpus import load_corpus
from evolve.evaluators.moe.descent import Descent, deterministic, training_batch
from evolve.evaluators.moe.measuring import cross_entropy
from evolve.evaluators.moe.model import Routed, Transformer
from evolve.evaluators.moe.spec import ModelConfig, Size, TrainingConfig

#: Hidden units of a feed-forward network in units of the model's width (r). Source: Vaswani et al. 2017, arXiv 1706.03762.
EXPANSION = 4


def dense_size(width: int, *, layers: int = 3, heads: int = 4, length: int = 64, steps: int = 200) -> Size:
    """A dense model that a few CPU seconds train, and how.

    Args:
        width: Of the residual stream.
        layers: Blocks.
        heads: Of attention.
        length: Bytes of a sequence.
        steps: Of the training; each has a micro-batch of every domain.
    """
    model = ModelConfig(width, layers, heads, experts=1, active=1, expert_width=EXPANSION * width, length=length)
    return Size(f"dense_{width}", model, TrainingConfig(steps, micro_batches=6, sequences=4, held_out=32))


def nowhere(layer: int, logits: Tensor) -> Routed:
    """The route of a dense model, which asks for none.

    Raises:
        ValueError: If it is asked.
    """
    raise ValueError(f"layer {layer} asks where {len(logits)} tokens go: the model is not dense")


def train_dense(size: Size, seed: int) -> Transformer:
    """Trains a dense model; the same seed gives the same weights to the bit on the same machine.

    Args:
        size: A model of one expert, and how it is trained.
        seed: Of weights and batches.

    Raises:
        Invalid: If the training diverges.
        ValueError: If the model has several experts (see `trainer.train`).
    """
    if size.model.experts != 1:
        raise ValueError(f"a dense model has 1 expert, got {size.model.experts}: train it with trainer.train")
    corpus, steps = load_corpus(), size.training.steps
    with deterministic(size.training.device):
        model = Transformer(size.model)
        model.initialise(seed)
        model.to(size.training.device)
        descent = Descent(model.named_parameters(), size.training)
        for step in range(steps):
            loss = cross_entropy(model, training_batch(corpus, size, seed, step), nowhere).mean()
            descent.step(loss, step / steps, step)
    return model
