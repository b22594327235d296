"""Calls and differentiates a program's functions of tensors in its own process.

Stands alone like ``runner.py``, which loads it by path. torch is imported when the first such function is bound; programs
that have none never load it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
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
        self._torch = _torch()
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


class TensorFunction:
    """A function of tensors with the places of its outputs and, if it is differentiated, of cotangents and gradients."""

    def __init__(
        self,
        function: Callable[..., Any],  # Any: here and below, tensors
        inputs: dict[str, np.ndarray],
        outputs: dict[str, np.ndarray],
        back: list[np.ndarray],
        gradients: dict[str, np.ndarray],
        *,
        in_order: Callable[[list[str], object, str], list[Any] | str],
    ) -> None:
        """Prepares.

        Args:
            function: Takes the inputs as keyword arguments.
            inputs: Places of what it takes.
            outputs: Places of what it returns.
            back: Places of a cotangent for each output of floating-point numbers, and of a flag for each: whether it was given.
            gradients: Places of the derivatives, by inputs. Empty, like ``back``, where there are none.
            in_order: Makes a list of what it returns, as ``hooks_inside.in_order``.
        """
        self._torch = torch = _torch()
        self._function = function
        self._in_order = in_order
        self._inputs = {name: torch.from_numpy(view) for name, view in inputs.items()}
        self._outputs = {name: torch.from_numpy(view) for name, view in outputs.items()}
        self._cotangents = [torch.from_numpy(view) for view in back[:-1]]
        self._given = back[-1] if back else None
        self._gradients = {name: torch.from_numpy(view) for name, view in gradients.items()}
        #: The last call's outputs of floating-point numbers, and the inputs to differentiate by.
        self._graph: tuple[list[Any], list[Any]] | None = None

    def answer(self) -> str:
        """Calls it and copies what it returns; says what is wrong with that, or nothing."""
        self._graph = None
        # Tensors of their own each time, as for a loss.
        tensors = {name: tensor.detach().requires_grad_(name in self._gradients) for name, tensor in self._inputs.items()}
        wanted = [tensors[name] for name in self._gradients]
        with self._torch.set_grad_enabled(bool(wanted)):
            values = self._in_order(list(self._outputs), self._function(**tensors), "tensors")
            if isinstance(values, str):
                return values
            for i, (name, place) in enumerate(self._outputs.items()):
                why = self._unfit(name, place, values[i])
                if why:
                    return why
                # In the graph: what comes back for it has the place's dtype as well.
                values[i] = values[i].to(place.device, place.dtype)
                place.copy_(values[i].detach())
        if wanted:
            self._graph = [value for value in values if value.is_floating_point()], wanted
        return ""

    def pull_back(self) -> str:
        """Takes gradients back through the last call, once."""
        assert self._graph is not None
        (outputs, wanted), self._graph = self._graph, None
        assert self._given is not None
        # What was not given is left out, not zero: a derivative that is infinite there would make NaN of it.
        flags = zip(outputs, self._given.tolist(), strict=True)
        asked = [i for i, (output, given) in enumerate(flags) if given and output.requires_grad]
        found = [None] * len(wanted)
        if asked:
            cotangents = [self._cotangents[i] for i in asked]
            found = self._torch.autograd.grad([outputs[i] for i in asked], wanted, cotangents, allow_unused=True)
        for place, gradient in zip(self._gradients.values(), found, strict=True):
            if gradient is None:
                place.zero_()
            else:
                place.copy_(gradient)
        return ""

    def _unfit(self, name: str, place: Any, value: object) -> str:
        torch = self._torch
        expected = f"expected a tensor of shape {tuple(place.shape)} and dtype {place.dtype}"
        if not isinstance(value, torch.Tensor):
            return f"{name}: a {type(value).__name__}; {expected}"
        if value.shape != place.shape:
            return f"{name}: a tensor of shape {tuple(value.shape)}; {expected}"
        if not torch.can_cast(value.dtype, place.dtype):
            return f"{name}: a tensor of dtype {value.dtype}; {expected}"
        return ""


def _torch() -> ModuleType:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise ImportError(f"torch cannot be imported in the sandbox ({error}); name it in limits.preload") from error
