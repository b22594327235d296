"""Puts what is differentiated in the sandbox, a loss or a part of a model, into a training loop of torch out here.

Imports torch, which the extra ``moe`` brings: nothing else in this package imports this module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from evolve.evaluators.calls import Loss, TensorHook


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


def as_torch_function(hook: TensorHook) -> Callable[..., tuple[torch.Tensor, ...]]:
    """Wraps a hook as a function of tensors that takes part in automatic differentiation.

    The tensors may lie on any device and have any floating-point dtype, as for `as_torch_loss`. Where no input that the hook
    differentiates by needs a gradient, and under ``torch.no_grad()``, there is nothing to take back. Second derivatives are
    not available.

    The function is for one place in a model, such as one layer: its graph lies in the sandbox, and there is one. A backward
    pass through another call than the hook's last one, or a second one through the same call, is a ``ValueError``; any call
    in between, one without gradients as well, counts as the last. Bind the function again for every other place, and for an
    evaluation in between.

    Args:
        hook: As `evolve.evaluators.calls.Hooks.bind_tensors` returns it.

    Returns:
        A function that takes the hook's inputs as keyword arguments and returns its outputs in the order of declaration, of
        the dtypes that they were bound with, on the device of the first input that is differentiated by (of the first input,
        if there is none such). Outputs of other than floating-point numbers have no gradient. Errors: see
        `evolve.evaluators.calls.TensorHook`.
    """

    def function(**inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        wanted = {name: tensor if name in hook.differentiate else tensor.detach() for name, tensor in inputs.items()}
        results: tuple[torch.Tensor, ...] = _SandboxedFunction.apply(hook, tuple(wanted), *wanted.values())
        return results

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


class _SandboxedFunction(torch.autograd.Function):  # type: ignore[misc]  # see above
    """Going forward is one crossing, going backward another."""

    @staticmethod
    # Any: torch's context, whose type is private
    def forward(context: Any, hook: TensorHook, names: tuple[str, ...], *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs = dict(zip(names, tensors, strict=True))
        specs = hook.inputs
        # What was not declared is for the hook to complain about.
        found = hook(**{name: _as_array(tensor, specs[name][1] if name in specs else "float32") for name, tensor in inputs.items()})
        first = next(iter(hook.differentiate or names), None)
        device = inputs[first].device if first is not None else torch.device("cpu")
        outputs = tuple(torch.from_numpy(found[name]).to(device) for name in hook.outputs)
        context.set_materialize_grads(False)
        context.mark_non_differentiable(*(output for output in outputs if not output.is_floating_point()))
        context.hook, context.call = hook, hook.calls
        context.kinds = {name: (tensor.device, tensor.dtype) for name, tensor in inputs.items()}
        return outputs

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]  # see above
    def backward(context: Any, *cotangents: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:  # Any: see above
        hook: TensorHook = context.hook
        if hook.calls != context.call:
            raise ValueError(
                f"{hook.function} was called again before gradients were taken back through its call: its graph is gone; "
                "bind the function once for each place in the model that calls it"
            )
        given = {
            name: _as_array(cotangent, spec[1])
            for (name, spec), cotangent in zip(hook.outputs.items(), cotangents, strict=True)
            if cotangent is not None
        }
        gradients = hook.pull_back(**given)
        taken = (
            torch.from_numpy(gradients[name]).to(device, dtype) if name in gradients else None
            for name, (device, dtype) in context.kinds.items()
        )
        return (None, None, *taken)


def _as_array(tensor: torch.Tensor, dtype: str) -> np.ndarray:
    """Copies a tensor to the processor's memory with a dtype that numpy has."""
    array: np.ndarray = tensor.detach().to("cpu", _dtype(dtype)).numpy()
    return array


def _dtype(name: str) -> torch.dtype:
    return torch.from_numpy(np.empty(0, name)).dtype
