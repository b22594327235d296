"""Differentiates a hook in this process as the sandbox does (`evolve.evaluators.differentiate`): with a graph of its own.

Gradients are then added up in the same order and rounded alike, so that a method of this package and a program of the same text
give the same training to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Hook = Callable[[Mapping[str, Tensor]], tuple[Tensor, ...]]


def call(hook: Hook, inputs: Mapping[str, Tensor], differentiate: Sequence[str]) -> tuple[Tensor, ...]:
    """Calls a hook; gradients can be taken back through the call once.

    Args:
        hook: Takes tensors by name.
        inputs: Of the hook.
        differentiate: Those of them that gradients flow back to.

    Returns:
        Its outputs.
    """
    results: tuple[Tensor, ...] = _Function.apply(hook, tuple(inputs), frozenset(differentiate), *inputs.values())
    return results


def call_loss(hook: Hook, inputs: Mapping[str, Tensor], differentiate: Sequence[str]) -> tuple[Tensor, ...]:
    """Calls a hook with one output, a scalar, and differentiates it at once: going backward only multiplies.

    Args:
        hook: See `call`.
        inputs: See `call`.
        differentiate: See `call`; at least one.

    Returns:
        Its one output.
    """
    results: tuple[Tensor, ...] = _Loss.apply(hook, tuple(inputs), frozenset(differentiate), *inputs.values())
    return results


class _Function(torch.autograd.Function):
    @staticmethod
    # Any: torch's context, whose type is private
    def forward(context: Any, hook: Hook, names: tuple[str, ...], wanted: frozenset[str], *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs = _own(names, wanted, tensors)
        with torch.set_grad_enabled(any(context.needs_input_grad)):
            outputs = hook(inputs)
        context.set_materialize_grads(False)
        context.graph = outputs, [inputs[name] if name in wanted else None for name in names]
        return tuple(output.detach() for output in outputs)

    @staticmethod
    def backward(context: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # Any: see above
        outputs, inputs = context.graph
        context.graph = None
        given = [pair for pair in zip(outputs, cotangents, strict=True) if pair[1] is not None and pair[0].requires_grad]
        return (None, None, None, *_gradients([output for output, _ in given], inputs, [cotangent for _, cotangent in given]))


class _Loss(torch.autograd.Function):
    @staticmethod
    # Any: see above
    def forward(context: Any, hook: Hook, names: tuple[str, ...], wanted: frozenset[str], *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs = _own(names, wanted, tensors)
        with torch.enable_grad():
            (value,) = hook(inputs)
        leaves = [inputs[name] if name in wanted else None for name in names]
        context.save_for_backward(*_gradients([value] if value.requires_grad else [], leaves, None))
        return (value.detach(),)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # Any: see above
        return (None, None, None, *(None if saved is None else saved * gradient for saved in context.saved_tensors))


def _own(names: tuple[str, ...], wanted: frozenset[str], tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """The inputs without whatever made them."""
    return {name: tensor.detach().requires_grad_(name in wanted) for name, tensor in zip(names, tensors, strict=True)}


def _gradients(outputs: list[Tensor], inputs: list[Tensor | None], cotangents: list[Tensor] | None) -> list[Tensor | None]:
    """Derivatives by the inputs that there are, 0 by what no output depends on."""
    leaves = [leaf for leaf in inputs if leaf is not None]
    found = iter(torch.autograd.grad(outputs, leaves, cotangents, allow_unused=True) if outputs else [None] * len(leaves))
    return [None if leaf is None else _or_zero(next(found), leaf) for leaf in inputs]


def _or_zero(gradient: Tensor | None, leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if gradient is None else gradient
