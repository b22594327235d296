"""The worker's end of a hook of tensors: one crossing that calls it, one that takes gradients back through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from evolve.evaluators.calls import ArraySpec
from evolve.evaluators.sandbox.crossing import Crossing, Place, laid_out

#: What numpy has and torch 2.2 has not.
_NOT_IN_TORCH = frozenset(("uint16", "uint32", "uint64"))
_GIVEN = "which are given"


class TensorLayout(NamedTuple):
    """Where the arrays of a hook of tensors lie.

    Attributes:
        inputs: What the function takes.
        outputs: What it returns.
        back: One cotangent for each output of floating-point numbers, under its name, and last a flag for each of them:
            whether it was given. Empty where nothing is differentiated.
        gradients: By the inputs that are differentiated by.
    """

    inputs: list[Place]
    outputs: list[Place]
    back: list[Place]
    gradients: list[Place]


def laid_out_tensors(
    function: str,
    inputs: Mapping[str, ArraySpec],
    outputs: Mapping[str, ArraySpec],
    differentiate: Sequence[str],
    used_bytes: int,
) -> tuple[TensorLayout, int]:
    """Gives a hook's arrays places behind what is used; returns them and what is used then.

    Raises:
        ValueError: If a name, shape or dtype is none that torch has, or nothing can be differentiated, or by nothing.
    """
    if not outputs:
        raise ValueError(f"{function}: no outputs are declared")
    places, used = laid_out(function, inputs, used_bytes)
    results, used = laid_out(function, outputs, used)
    check_dtypes(function, [*places, *results])
    if not differentiate:
        return TensorLayout(places, results, [], []), used
    check_differentiable(function, places, differentiate)
    floating = [place.name for place in results if place.dtype.kind == "f"]
    if not floating:
        raise ValueError(f"{function}: no output has floating-point numbers, so there is nothing to differentiate")
    cotangents = {name: outputs[name] for name in floating} | {_GIVEN: ((len(floating),), "bool")}
    back, used = laid_out(function, cotangents, used)
    gradients, used = laid_out(function, {name: inputs[name] for name in differentiate}, used)
    return TensorLayout(places, results, back, gradients), used


def check_dtypes(function: str, places: Sequence[Place]) -> None:
    """Refuses what torch cannot hold.

    Raises:
        ValueError: If there is such a thing.
    """
    for place in places:
        if place.dtype.name in _NOT_IN_TORCH:
            raise ValueError(f"{function}: {place.name} has dtype {place.dtype.name}, which not every torch has; take int64")


def check_differentiable(function: str, inputs: Sequence[Place], differentiate: Sequence[str]) -> None:
    """Refuses derivatives by nothing, or by what is no input of floating-point numbers.

    Raises:
        ValueError: If they are asked for.
    """
    floating = [place.name for place in inputs if place.dtype.kind == "f"]
    if not differentiate or not set(differentiate) <= set(floating):
        raise ValueError(
            f"{function}: differentiate names {', '.join(differentiate) or 'nothing'}; "
            f"inputs of floating-point numbers: {', '.join(floating) or 'none'}"
        )


class SandboxedTensorHook:
    """Implements `evolve.evaluators.calls.TensorHook`."""

    def __init__(
        self,
        crossings: Sequence[Crossing],
        inputs: Mapping[str, ArraySpec],
        outputs: Mapping[str, ArraySpec],
        layout: TensorLayout,
        *,
        finite: bool,
    ) -> None:
        """Takes over what was bound.

        Args:
            crossings: To call the function; and, if anything is differentiated, to take gradients back.
            inputs: As declared.
            outputs: As declared.
            layout: Where they lie.
            finite: Whether outputs must be.
        """
        self._forward, *self._backward = crossings
        self._inputs = dict(inputs)
        self._outputs = dict(outputs)
        self._layout = layout
        self._finite = finite
        self._calls = 0
        self._graph_is_there = False
        # Views of one zero each: they are copied only into places that nobody gave anything for.
        self._zeros = {place.name: np.broadcast_to(np.zeros((), place.dtype), place.shape) for place in layout.back[:-1]}

    @property
    def function(self) -> str:
        return self._forward.function

    @property
    def inputs(self) -> Mapping[str, ArraySpec]:
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, ArraySpec]:
        return self._outputs

    @property
    def differentiate(self) -> Sequence[str]:
        return tuple(place.name for place in self._layout.gradients)

    @property
    def calls(self) -> int:
        return self._calls

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        # Whatever comes of it, inputs that the last call's graph may look at are written over.
        self._calls += 1
        self._graph_is_there = False
        memory = self._forward.call(inputs)
        outputs = {
            place.name: self._forward.take(memory, place, f"output {place.name}", finite=self._finite)
            for place in self._layout.outputs
        }
        self._graph_is_there = bool(self._backward)
        return outputs

    def pull_back(self, **cotangents: np.ndarray) -> dict[str, np.ndarray]:
        if not self._backward:
            raise ValueError(f"{self.function} was bound with nothing to differentiate by")
        if not self._graph_is_there:
            raise ValueError(f"{self.function} has no call to take gradients back through: one pull_back follows each call")
        if not cotangents.keys() <= self._zeros.keys():
            raise TypeError(
                f"pull_back of {self.function} takes {', '.join(self._zeros)}, each or not; got {', '.join(cotangents)}"
            )
        given = {_GIVEN: np.array([name in cotangents for name in self._zeros])}
        memory = self._backward[0].call(self._zeros | cotangents | given)
        self._graph_is_there = False
        return {
            place.name: self._forward.take(memory, place, f"the gradient by {place.name}", finite=True)
            for place in self._layout.gradients
        }
