"""Small dense models for tests; importing this needs torch."""

import torch

from evolve.evaluators.moe.dense import dense_size
from evolve.evaluators.moe.model import Transformer
from evolve.evaluators.moe.spec import ModelConfig

#: Two blocks of width 8: 32 hidden units, which become a shared expert of 8 and 12 of 2.
TINY = ModelConfig(8, 2, 2, experts=1, active=1, expert_width=32, length=12)
#: What a second trains.
SMALL = dense_size(16, layers=2, heads=2, length=32, steps=60)


def drawn(config=TINY, seed=0):
    """A dense model that nothing has trained."""
    model = Transformer(config)
    model.initialise(seed)
    return model


def text(sequences=3, length=12, seed=0):
    return torch.randint(256, (sequences, length + 1), generator=torch.Generator().manual_seed(seed))
