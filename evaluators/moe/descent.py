"""What every training here has in common: optimiser, learning rate, batches, and kernels that repeat to the bit."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import torch
from torch import Tensor, nn

from evolve.evaluators.base import Invalid
from evolve.evaluators.moe.corpus import Corpus
from evolve.evaluators.moe.spec import Size, TrainingConfig

#: Just below what glibc maps apart whatever happens (32 MiB).
_LARGE_BYTES = 31 * 2**20


class Descent:
    """AdamW that lets vectors and embeddings be as large as they like, along the schedule of `rate`."""

    def __init__(self, weights: Iterable[tuple[str, nn.Parameter]], config: TrainingConfig) -> None:
        """Takes the weights that are to change.

        Args:
            weights: With their names.
            config: Learning rate, decay, clipping.
        """
        named = dict(weights)
        matrices = [weight for name, weight in named.items() if weight.dim() > 1 and "embedding" not in name]
        others = [weight for name, weight in named.items() if weight.dim() <= 1 or "embedding" in name]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self._weights = list(named.values())
        self._config = config
        self._optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=config.learning_rate, betas=config.betas, fused=True
        )

    def step(self, loss: Tensor, progress: float, number: int) -> None:
        """Goes one step down.

        Args:
            loss: A scalar with gradients.
            progress: Share of the training that is done, for the learning rate.
            number: Of the step, for messages.

        Raises:
            Invalid: If the gradient is not finite.
        """
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        finite(float(nn.utils.clip_grad_norm_(self._weights, self._config.clip)), number)
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * rate(progress, self._config.warmup)
        self._optimiser.step()


def rate(progress: float, warmup: float) -> float:
    """Share of the highest learning rate: up in a line, then down along a cosine to a tenth."""
    if progress < warmup:
        return (progress + 1e-2) / (warmup + 1e-2)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def training_batch(corpus: Corpus, size: Size, seed: int, step: int) -> Tensor:
    """Cuts the batch of one step: ``(B, S + 1)`` integers, on the size's device."""
    config = size.training
    batch = corpus.train_batch(
        seed,
        step,
        micro_batches=config.micro_batches,
        sequences=config.sequences,
        length=size.model.length,
    )
    return torch.from_numpy(batch.tokens.astype(np.int64)).to(config.device)


def finite(value: float, step: int) -> float:
    """Returns the value.

    Raises:
        Invalid: If it is not a finite number.
    """
    if not math.isfinite(value):
        raise Invalid(f"the training diverged: at step {step} the loss or its gradient is {value}")
    return value


@contextmanager
def deterministic(device: str) -> Iterator[None]:
    """One thread, and no kernel whose result depends on the order of its threads; leaves torch as it was."""
    threads, filled = torch.get_num_threads(), torch.utils.deterministic.fill_uninitialized_memory
    deterministic, warn_only = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        # Writes every new tensor once more; nothing here reads what it has not written.
        torch.utils.deterministic.fill_uninitialized_memory = False
        if device == "cpu":
            # Two threads are up to ten times slower than one on a busy machine: they wait for each other by spinning.
            torch.set_num_threads(1)
            torch.use_deterministic_algorithms(True)
        _keep_freed_memory()
        with torch.random.fork_rng(devices=[]):  # torch draws first weights when layers are made; `initialise` draws them anew
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = filled
        _give_back_freed_memory()


def _keep_freed_memory() -> None:
    """Has the C library keep what a step frees for the next one.

    glibc gives freed memory back to the system beyond twice the largest block that was mapped apart and freed; a step of `nano`
    then spends a tenth of its time on having hundreds of pages mapped anew.
    """
    torch.empty(_LARGE_BYTES, dtype=torch.uint8)


def _give_back_freed_memory() -> None:
    """Has the C library give back what it kept, in pieces between what is in use: a worker trains hundreds of models."""
    with suppress(AttributeError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)
