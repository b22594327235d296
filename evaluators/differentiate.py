"""Puts a loss that is differentiated in the sandbox into a training loop of torch out here.

Imports torch, which the extra ``moe`` brings: nothing else in this package imports this module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from evolve.evaluators.calls import Loss


def as_torch_loss(loss: Loss) -> Callable[..., torch.Tensor]:
    """Wraps a loss as a function of tensors that takes part in automatic differentiation.

    The tensors may lie on any device and have any floating-point dtype: they are converted to what the loss was bound with,
    and the gradients back. Inputs that the loss was not asked to differentiate by get no gradient, whether they want one or
    not. Second derivatives are not available.

    Args:
        loss: As `evolve.evaluators.calls.Hooks.bind_loss` returns it.

    Returns:
        A function that takes the loss's inputs as keyword arguments and returns a scalar tensor, on the device of the first
        input that is differentiated by and of the dtype that this one was bound with. Errors: see
        `evolve.evaluators.calls.Loss`.
    """

    def function(**inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _Sandboxed.apply(loss, tuple(inputs), *inputs.values())
        return result

    return function


class _Sandboxed(torch.autograd.Function):  # type: ignore[misc]  # torch is not there where types are checked
    """Value and gradients of a loss come in one crossing; going backward only multiplies."""

    @staticmethod
    # Any: torch's context, whose type is private
    def forward(context: Any, loss: Loss, names: tuple[str, ...], *tensors: torch.Tensor) -> torch.Tensor:
        inputs = dict(zip(names, tensors, strict=True))
        specs = loss.inputs
        # What was not declared is for the loss to complain about.
        found = loss(**{name: _as_array(tensor, specs[name][1] if name in specs else "float32") for name, tensor in inputs.items()})
        gradients = {
            name: torch.from_numpy(gradient).to(inputs[name].device, inputs[name].dtype)
            for name, gradient in found.gradients.items()
        }
        context.names = tuple(name if name in gradients else "" for name in names)
        context.save_for_backward(*(gradients[name] for name in context.names if name))
        first = loss.differentiate[0]
        return torch.tensor(found.value, dtype=_dtype(specs[first][1]), device=inputs[first].device)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # Any: see above
        saved = iter(context.saved_tensors)
        return (None, None, *(next(saved) * gradient if name else None for name in context.names))


def _as_array(tensor: torch.Tensor, dtype: str) -> np.ndarray:
    """Copies a tensor to the processor's memory with a dtype that numpy has."""
    array: np.ndarray = tensor.detach().to("cpu", _dtype(dtype)).numpy()
    return array


def _dtype(name: str) -> torch.dtype:
    return torch.from_numpy(np.empty(0, name)).dtype
