"""Differentiates a program's loss in its own process.

Stands alone like ``runner.py``, which loads it by path. torch is imported when the first loss is bound; programs that have
none never load it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np


def limit_gpu_memory(fraction: float) -> None:
    """Has torch keep to a part of an accelerator's memory, if there is one. It binds torch's own allocator only."""
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(fraction)


class Loss:
    """A function of tensors that returns a scalar, with the places of its value and its gradients."""

    def __init__(
        self,
        function: Callable[..., Any],  # Any: tensors
        inputs: dict[str, np.ndarray],
        value: np.ndarray,
        gradients: dict[str, np.ndarray],
    ) -> None:
        try:
            self._torch = importlib.import_module("torch")
        except ImportError as error:
            raise ImportError(f"torch cannot be imported in the sandbox ({error}); name it in limits.preload") from error
        self._function = function
        self._inputs = {name: self._torch.from_numpy(view) for name, view in inputs.items()}
        self._value = value
        self._gradients = {name: self._torch.from_numpy(view) for name, view in gradients.items()}

    def answer(self) -> str:
        """Calls it and differentiates what it returns; says what is wrong with that, or nothing."""
        torch = self._torch
        # Tensors of their own each time: the last call's graph is not to be found in them.
        tensors = {name: tensor.detach().requires_grad_(name in self._gradients) for name, tensor in self._inputs.items()}
        with torch.enable_grad():
            value = self._function(**tensors)
        if not isinstance(value, torch.Tensor):
            return f"a {type(value).__name__}; expected a scalar torch tensor"
        if value.shape != () or not value.is_floating_point():
            return f"a tensor of shape {tuple(value.shape)} and dtype {value.dtype}; expected a scalar of floating-point numbers"
        wanted = [tensors[name] for name in self._gradients]
        found = torch.autograd.grad(value, wanted, allow_unused=True) if value.requires_grad else [None] * len(wanted)
        self._value[()] = value.item()
        for place, gradient in zip(self._gradients.values(), found, strict=True):
            if gradient is None:
                place.zero_()
            else:
                place.copy_(gradient)
        return ""
