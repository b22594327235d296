"""The worker's end of hooks: memory shared with a program, and the functions that are bound to it.

The memory is a file in memory of fixed size (sealed, so that nobody can make it smaller and a look at it fatal). `crossing`
says what passes through it.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import numpy as np

from evolve.evaluators.calls import ArraySpec, LossValue
from evolve.evaluators.sandbox import wire
from evolve.evaluators.sandbox.crossing import Crossing, Line, Place, laid_out, plain
from evolve.evaluators.sandbox.tensor_hook import SandboxedTensorHook, check_differentiable, check_dtypes, laid_out_tensors

_MAX_HOOKS = 2**16
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class SandboxedHooks:
    """Implements `evolve.evaluators.calls.Hooks`; the memory is given back when the context is left."""

    def __init__(self, line: Line, shared_mb: int) -> None:
        """Prepares.

        Raises:
            ValueError: If ``shared_mb`` is not positive.
        """
        if not shared_mb > 0:
            raise ValueError(f"shared_mb must be > 0, got {shared_mb!r}")
        self._line = line
        self._shared_mb = shared_mb
        self._memory: mmap.mmap | None = None
        self._crossings: list[Crossing] = []
        self._used_bytes = 0
        self._defined: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        size_bytes = int(self._shared_mb * 2**20)
        descriptor = os.memfd_create("hooks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size_bytes)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            self._memory = mmap.mmap(descriptor, size_bytes)
            names = self._line.value("hooks", self._line.ask("hooks", wire.encode(["hooks", size_bytes]), descriptor))
        except BaseException:
            self._close()
            raise
        finally:
            os.close(descriptor)
        self._defined = frozenset(name for name in names if type(name) is str) if type(names) is list else frozenset()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    @property
    def defined(self) -> frozenset[str]:
        return self._defined

    def bind(
        self, function: str, inputs: Mapping[str, ArraySpec], outputs: Mapping[str, ArraySpec], *, finite: bool = True
    ) -> SandboxedHook:
        if not outputs:
            raise ValueError(f"{function}: no outputs are declared")
        places, used = laid_out(function, inputs, self._used_bytes)
        results, used = laid_out(function, outputs, used)
        order = ["bind", function, plain(places), plain(results)]
        (crossing,) = self._cross([function], order, [places], used)
        return SandboxedHook(crossing, results, finite=finite)

    def bind_loss(self, function: str, inputs: Mapping[str, ArraySpec], *, differentiate: Sequence[str]) -> SandboxedLoss:
        places, used = laid_out(function, inputs, self._used_bytes)
        check_dtypes(function, places)
        check_differentiable(function, places, differentiate)
        value, used = laid_out(function, {"the loss": ((), "float64")}, used)
        gradients, used = laid_out(function, {name: inputs[name] for name in differentiate}, used)
        order = ["bind_loss", function, plain(places), value[0].plain(), plain(gradients)]
        (crossing,) = self._cross([function], order, [places], used)
        return SandboxedLoss(crossing, inputs, value[0], gradients)

    def bind_tensors(
        self,
        function: str,
        inputs: Mapping[str, ArraySpec],
        outputs: Mapping[str, ArraySpec],
        *,
        differentiate: Sequence[str] = (),
        finite: bool = True,
    ) -> SandboxedTensorHook:
        layout, used = laid_out_tensors(function, inputs, outputs, differentiate, self._used_bytes)
        ways = [layout.inputs, layout.back] if differentiate else [layout.inputs]
        called = [function, f"pull_back of {function}"][: len(ways)]
        crossings = self._cross(called, ["bind_tensors", function, *map(plain, layout)], ways, used)
        return SandboxedTensorHook(crossings, inputs, outputs, layout, finite=finite)

    def _cross(
        self,
        functions: list[str],
        order: list[Any],  # Any: plain data
        inputs: list[list[Place]],
        used_bytes: int,
    ) -> list[Crossing]:
        """Has the program bind a function, once there is room for it.

        Args:
            functions: What is to be called: the function itself, then what belongs to it; they get consecutive numbers.
            order: What the program is told.
            inputs: What each takes.
            used_bytes: Of the memory, from then on.
        """
        function = functions[0]
        if self._memory is None:
            raise ValueError(f"{function} cannot be bound: the hooks are closed")
        size_bytes = len(self._memory)
        if used_bytes > size_bytes:
            raise ValueError(
                f"shared_mb = {self._shared_mb} is too small: {function} needs {used_bytes - self._used_bytes} bytes, "
                f"{size_bytes - self._used_bytes} are left; ask for hooks(shared_mb={math.ceil(used_bytes / 2**20)}) or more"
            )
        number = len(self._crossings)
        if number + len(functions) > _MAX_HOOKS:
            raise ValueError(f"{function} would be one more than {_MAX_HOOKS} hooks")
        bound = self._line.value(function, self._line.ask(function, wire.encode(order), -1))
        # The type comes first: comparing an array gives an array.
        if type(bound) is not int or bound != number:
            self._line.fail(f"{function} was bound out of turn")
        self._used_bytes = used_bytes
        added = [
            Crossing(name, number + i, self._line, self._memory, places)
            for i, (name, places) in enumerate(zip(functions, inputs, strict=True))
        ]
        self._crossings += added
        return added

    def _close(self) -> None:
        for crossing in self._crossings:
            crossing.close()
        if self._memory is not None:
            with suppress(BufferError):  # somebody looks at it; it goes when they do
                self._memory.close()
            self._memory = None
            self._line.closed()


class SandboxedHook:
    """Implements `evolve.evaluators.calls.Hook`."""

    def __init__(self, crossing: Crossing, outputs: list[Place], *, finite: bool) -> None:
        self._crossing = crossing
        self._outputs = outputs
        self._finite = finite

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        memory = self._crossing.call(inputs)
        return {
            place.name: self._crossing.take(memory, place, f"output {place.name}", finite=self._finite) for place in self._outputs
        }


class SandboxedLoss:
    """Implements `evolve.evaluators.calls.Loss`."""

    def __init__(self, crossing: Crossing, inputs: Mapping[str, ArraySpec], value: Place, gradients: list[Place]) -> None:
        self._crossing = crossing
        self._specs = dict(inputs)
        self._value = value
        self._gradients = gradients

    @property
    def inputs(self) -> Mapping[str, ArraySpec]:
        return self._specs

    @property
    def differentiate(self) -> Sequence[str]:
        return tuple(place.name for place in self._gradients)

    def __call__(self, **inputs: np.ndarray) -> LossValue:
        memory = self._crossing.call(inputs)
        value = self._crossing.take(memory, self._value, "the value", finite=True)
        gradients = {
            place.name: self._crossing.take(memory, place, f"the gradient by {place.name}", finite=True)
            for place in self._gradients
        }
        return LossValue(float(value), gradients)
