"""The balancing of one training: a method, the state that is kept for it, and defaults for the hooks that it does not define.

Whatever a method says is checked here; it may be a program's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from evolve.evaluators.base import Invalid
from evolve.evaluators.moe.calling import Method
from evolve.evaluators.moe.spec import MEMORY_ROWS, MOST_NULL, ModelConfig

ROUTERS = ("linear", "mlp", "cosine")

#: Up to so many experts per token, the largest are found faster one after the other than by sorting.
_FEW = 4


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a method wants of one step.

    Attributes:
        k: Experts that a token goes to, per layer.
        coefficient: Weight of the loss.
        temperature: Logits are divided by it before `score` sees them.
        noise: Standard deviation of the noise that `score` may ask for.
        capacity: An expert takes at most this many times the mean load while training; later tokens lose it. 0 for no bound.
    """

    k: tuple[int, ...]
    coefficient: float
    temperature: float = 1.0
    noise: float = 0.0
    capacity: float = 0.0


class Scores(NamedTuple):
    """What `score` says, each ``(T, E)``: what experts are chosen by, and what mixture weights are made of."""

    selection: Tensor
    gates: Tensor


class Balancer:
    """A method with its state.

    Attributes:
        method: The hooks.
        model: The model's sizes.
        router: Kind of router that the method wants.
        widths: ``(E,)`` relative widths, experts without computation behind the true ones.
        bias: ``(L, E)``; the default `score` adds it to what experts are chosen by.
        memory: ``(L, R, E)``, the method's own.
    """

    def __init__(self, method: Method, model: ModelConfig, device: str = "cpu") -> None:
        """Asks the method what layers it wants.

        Args:
            method: The hooks.
            model: Sizes.
            device: Where the model is; the state lies there as well.

        Raises:
            Invalid: If it wants what cannot be had.
            ProgramFailed: If it is a program's, and fails.
        """
        self.method = method
        self.model = model
        self.device = device
        self.widths = torch.tensor(self._cost(), device=device)
        start = self._started()
        self.router = _one_of("router of init", start.pop("router", "linear"), ROUTERS)
        shape = (model.layers, self.experts)
        self.bias = _numbers("bias of init", start.pop("bias", None), shape).to(device)
        kept = (model.layers, MEMORY_ROWS, self.experts)
        self.memory = _numbers("memory of init", start.pop("memory", None), kept).to(device)
        if start:
            raise Invalid(f"init returned {', '.join(map(str, start))}; it may return: router, bias, memory")

    @property
    def experts(self) -> int:
        """Per layer, with those without computation (E)."""
        return len(self.widths)

    @property
    def null_experts(self) -> int:
        return self.experts - self.model.experts

    def asking(self, method: Method) -> Balancer:
        """The same state with the hooks of another process."""
        other = copy.copy(self)
        other.method = method
        return other

    def asks(self, hook: str, name: str) -> bool:
        return name in self.method.asks.get(hook, ())

    def defines(self, hook: str) -> bool:
        return hook in self.method.asks

    def schedule(self, step: int, steps: int, coefficient: float) -> Schedule:
        """What holds in one step.

        Args:
            step: From 0; beyond the last one for a finished model.
            steps: Of the training.
            coefficient: Where the method gives none.

        Raises:
            Invalid: If the method wants what cannot be had.
            ProgramFailed: If it is a program's, and fails.
        """
        layers, k = self.model.layers, self.model.active
        default = Schedule((k,) * layers, coefficient)
        if not self.defines("schedule"):
            return default
        place = {"step": step, "steps": steps, "layers": layers, "experts": self.experts, "k": k}
        wanted = _dict("schedule", self.method.plain("schedule", place), ("k", "coefficient", "temperature", "noise", "capacity"))
        return Schedule(
            _counts(wanted.get("k", k), layers, self.experts),
            _number("coefficient", wanted.get("coefficient", coefficient), 0.0, 1e6),
            _number("temperature", wanted.get("temperature", 1.0), 1e-6, 1e6),
            _number("noise", wanted.get("noise", 0.0), 0.0, 1e6),
            _number("capacity", wanted.get("capacity", 0.0), 0.0, 1e6),
        )

    def score(self, layer: int, inputs: Mapping[str, Any]) -> Scores:  # Any: tensors and functions that make them
        """Scores of a layer's tokens; see `vocabulary.HOOKS`."""
        if self.defines("score"):
            return Scores(*self._call("score", layer, inputs))
        gates = inputs["logits"].softmax(-1)
        return Scores(gates.detach() + self.bias[layer], gates)

    def select(self, layer: int, inputs: Mapping[str, Any]) -> Tensor:  # Any: see above
        """Experts of a layer's tokens: ``(T, E)`` bool."""
        if self.defines("select"):
            (mask,) = self._call("select", layer, inputs)
            return mask
        return top_k(inputs["selection"], int(inputs["k"]))

    def gate(self, layer: int, inputs: Mapping[str, Any]) -> Tensor:  # Any: see above
        """Mixture weights of a layer's tokens, ``(T, E)``, 0 outside the mask."""
        mask = inputs["mask"]
        if self.defines("gate"):
            (weights,) = self._call("gate", layer, inputs)
            return weights * mask
        weights = inputs["gates"] * mask
        if int(inputs["k"]) == 1:  # divided by itself, a single gate would have no gradient
            return weights
        return weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)

    def loss(self, inputs: Mapping[str, Any]) -> Tensor | None:  # Any: see above
        """The balancing loss of a step, before its coefficient; None where the method has none."""
        if not self.defines("loss"):
            return None
        (value,) = self._call("loss", 0, {**inputs, "bias": self.bias, "memory": self.memory})
        return value

    def update(self, inputs: Mapping[str, Any]) -> None:  # Any: see above
        """Has the method change its state after a step."""
        if self.defines("update"):
            with torch.no_grad():
                self.bias, self.memory = self._call("update", 0, {**inputs, "bias": self.bias, "memory": self.memory})

    def _call(self, hook: str, layer: int, inputs: Mapping[str, Any]) -> tuple[Tensor, ...]:  # Any: see above
        found = {"widths": self.widths, **inputs}
        if "bias" not in found:
            found |= {"bias": self.bias[layer], "memory": self.memory[layer], "layer": torch.tensor(layer)}
        asked = {name: found[name] for name in self.method.asks[hook]}
        answer = self.method.tensors(hook, layer, {name: value() if callable(value) else value for name, value in asked.items()})
        return tuple(value.to(self.device) for value in answer)

    def _cost(self) -> list[float]:
        """Relative widths of all experts: the task's, and 0 for each that the method adds."""
        given = list(self.model.shares)
        if not self.defines("cost"):
            return given
        wanted = self.method.plain("cost", {"widths": given})
        if (
            not isinstance(wanted, list | tuple)
            or not all(isinstance(share, int | float) for share in wanted)
            or list(wanted[: len(given)]) != given
            or any(share != 0 for share in wanted[len(given) :])
        ):
            raise Invalid(
                f"cost must return the widths that it was given, and a 0.0 for each expert without computation: got {wanted!r:.200}"
            )
        if len(wanted) > (1 + MOST_NULL) * len(given):
            raise Invalid(
                f"cost adds {len(wanted) - len(given)} experts to {len(given)}; at most {MOST_NULL * len(given)} may be added"
            )
        return [*given, *(0.0,) * (len(wanted) - len(given))]

    def _started(self) -> dict[str, Any]:  # Any: plain data, checked by the caller
        if not self.defines("init"):
            return {}
        place = {"experts": self.experts, "k": self.model.active, "layers": self.model.layers}
        return dict(_dict("init", self.method.plain("init", place), ("router", "bias", "memory")))


def top_k(selection: Tensor, k: int) -> Tensor:
    """The ``k`` largest of every row, as a mask; of equal ones, whichever torch finds first."""
    if k <= _FEW and selection.device.type == "cpu":
        mask = selection >= _kth_largest(selection, k)
        if int(mask.sum()) == k * len(selection):  # otherwise some are equal
            return mask
    return torch.zeros(selection.shape, dtype=torch.bool, device=selection.device).scatter_(1, selection.topk(k, -1).indices, True)


def _kth_largest(selection: Tensor, k: int) -> Tensor:
    """The k-th largest of every row if all differ, ``(T, 1)``; on a processor, a third of the time that sorting takes."""
    for _ in range(k - 1):
        selection = selection.masked_fill(selection == selection.amax(-1, keepdim=True), -math.inf)
    return selection.amax(-1, keepdim=True)


# Any: here and below, plain data that a program made up
def _dict(hook: str, value: Any, keys: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or not set(value) <= set(keys):
        raise Invalid(f"{hook} must return a dict with some of: {', '.join(keys)}; got {value!r:.200}")
    return value


def _number(name: str, value: Any, low: float, high: float) -> float:
    # The bounds come first: an integer may be too large to be asked whether it is finite. NaN lies within none.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Invalid(f"{name} must be a number from {low:g} to {high:g}, got {value!r:.100}")
    return float(value)


def _counts(value: Any, layers: int, experts: int) -> tuple[int, ...]:
    each = list(value) if isinstance(value, list | tuple) else [value] * layers
    if len(each) != layers or not all(type(k) is int and 1 <= k <= experts for k in each):
        raise Invalid(f"k must be an integer from 1 to {experts}, or one for each of {layers} layers; got {value!r:.100}")
    return tuple(each)


def _one_of(name: str, value: Any, known: Sequence[str]) -> str:
    # The type comes first: comparing an array gives an array.
    if type(value) is not str or value not in known:
        raise Invalid(f"{name} must be one of {', '.join(known)}, got {value!r:.100}")
    return value


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> Tensor:
    if value is None:
        return torch.zeros(shape)
    try:
        found = torch.tensor(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Invalid(f"{name} must be numbers of shape {shape}: {error}") from None
    if found.is_complex():
        raise Invalid(f"{name} must be real numbers of shape {shape}")
    found = found.to(torch.float32)
    if found.shape != shape or not bool(torch.isfinite(found).all()):
        raise Invalid(f"{name} must be finite numbers of shape {shape}, got shape {tuple(found.shape)}")
    return found
