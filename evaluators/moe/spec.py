"""Sizes: what a model is made of and how it is trained; nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

#: Of the experts of one layer of a task with experts of unequal cost, repeated as often as needed: half of them full, a quarter
#: each half and a quarter as wide.
UNEQUAL = (1.0, 1.0, 0.5, 0.25)

#: Tokens are bytes.
VOCABULARY = 256

#: Rows of numbers per layer and expert that a method may keep from step to step, besides the bias.
MEMORY_ROWS = 4

#: Experts without computation that a method may add, for each true one.
MOST_NULL = 2


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A decoder-only language model whose feed-forward layers are mixtures of experts.

    Attributes:
        width: Of the residual stream (d).
        layers: Blocks of attention and mixture (L).
        heads: Of attention; the width is a multiple of twice as many.
        experts: Per layer, those without computation not counted (E).
        active: Experts that a token goes to (k).
        expert_width: Hidden units of a full expert.
        widths: Hidden units of each expert, as a share of ``expert_width``; empty for experts that are all full.
        shared_width: Hidden units that every token goes through besides; 0 for none.
        length: Tokens of a sequence (S).
    """

    width: int
    layers: int
    heads: int
    experts: int
    active: int
    expert_width: int
    widths: tuple[float, ...] = ()
    shared_width: int = 0
    length: int = 128

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "experts", "active", "expert_width", "length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of 2 x heads = {2 * self.heads}, got {self.width}")
        if self.active > self.experts:
            raise ValueError(f"active must be <= experts = {self.experts}, got {self.active}")
        if self.widths and len(self.widths) != self.experts:
            raise ValueError(f"widths must name all {self.experts} experts, got {len(self.widths)}")
        if not all(0.0 <= share <= 1.0 for share in self.widths):
            raise ValueError(f"widths must lie in [0, 1], got {self.widths}")

    @property
    def shares(self) -> tuple[float, ...]:
        """Relative width of each expert."""
        return self.widths or (1.0,) * self.experts

    def unequal(self) -> ModelConfig:
        """The same model with experts of unequal cost: see `UNEQUAL`."""
        shares = (UNEQUAL * math.ceil(self.experts / len(UNEQUAL)))[: self.experts]
        return replace(self, widths=tuple(sorted(shares, reverse=True)))


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a model is trained: AdamW, a linear warm-up, a cosine down to a tenth.

    Attributes:
        steps: Of the optimiser.
        micro_batches: Parts of a step's batch, each of one domain (M). They go through the model together, which gives the same
            gradients as one after the other, since what is computed per micro-batch is kept apart.
        sequences: Of one micro-batch.
        learning_rate: The highest.
        warmup: Share of the steps in which the rate rises.
        weight_decay: Of matrices; vectors and embeddings have none.
        betas: Of AdamW.
        clip: Largest norm of all gradients together.
        coefficient: Weight of the balancing loss where the method's schedule gives none.
        coefficient_factor: What that weight is multiplied by, whoever gives it: for sweeps.
        held_out: Sequences per domain that a finished model is measured on.
        shift: Share of text from the first half of the corpus's domains in the first half of the steps, and from the others in the
            second half; 0 for equal shares of all domains at all times.
        device: Of torch.
        bfloat16: Whether matrices are multiplied in bfloat16; routers never are.
    """

    steps: int
    micro_batches: int = 4
    sequences: int = 4
    learning_rate: float = 3e-3
    warmup: float = 0.05
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    coefficient: float = 0.01
    coefficient_factor: float = 1.0
    held_out: int = 16
    shift: float = 0.0
    device: str = "cpu"
    bfloat16: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "micro_batches", "sequences", "held_out"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")
        for name in ("coefficient", "coefficient_factor"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.shift < 1:
            raise ValueError(f"shift must lie in [0, 1), got {self.shift}")


@dataclass(frozen=True, slots=True)
class Size:
    """A model with its training, by the name that figures are given for.

    Attributes:
        name: Such as ``nano``.
        model: What is trained.
        training: How.
    """

    name: str
    model: ModelConfig
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(steps=1))

    @property
    def tokens(self) -> int:
        """Of one step (T)."""
        return self.sequences * self.model.length

    @property
    def sequences(self) -> int:
        """Of one step (B)."""
        return self.training.micro_batches * self.training.sequences

    def letters(self, experts: int) -> dict[str, int]:
        """Sizes of what hooks take and return, by the letters of `vocabulary.Array`.

        Args:
            experts: Per layer, with those that compute nothing.
        """
        return {
            "L": self.model.layers,
            "E": experts,
            "T": self.tokens,
            "B": self.sequences,
            "M": self.training.micro_batches,
            "R": MEMORY_ROWS,
        }


SIZES: Mapping[str, Size] = {
    size.name: size
    for size in (
        Size("smoke", ModelConfig(32, 2, 2, 8, 2, 32, length=64), TrainingConfig(100, sequences=2, held_out=8)),
        Size("nano", ModelConfig(64, 3, 4, 16, 2, 64), TrainingConfig(300, held_out=32)),
        Size("micro", ModelConfig(96, 4, 4, 32, 2, 64, length=192), TrainingConfig(500)),
        Size("sparse", ModelConfig(64, 4, 4, 64, 1, 48), TrainingConfig(400)),
        Size(
            "small",
            ModelConfig(384, 8, 6, 64, 8, 128, length=512),
            TrainingConfig(3000, micro_batches=8, sequences=8, learning_rate=1e-3, device="cuda", bfloat16=True),
        ),
        Size(
            "base",
            ModelConfig(768, 12, 12, 64, 8, 192, length=1024),
            TrainingConfig(20_000, micro_batches=8, sequences=16, learning_rate=6e-4, device="cuda", bfloat16=True),
        ),
    )
}
