"""The worker's end of hooks: memory shared with a program, and calls through it.

The memory is a file in memory of fixed size (sealed, so that nobody can make it smaller and a look at it fatal). What comes
back is copied before it is looked at, since the program may go on writing.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from evolve.evaluators.calls import ArraySpec, LossValue
from evolve.evaluators.sandbox import wire
from evolve.evaluators.sandbox.hooks_inside import MARK, WAKE

#: Of a cache line: arrays that two processes write do not share one.
_ALIGN_BYTES = 64
_MAX_HOOKS = 2**16
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Line(NamedTuple):
    """How hooks talk to their program.

    Attributes:
        ask: Sends a message, with a descriptor or -1, on behalf of a function of the program; returns the answer undecoded.
        wake: The same without a descriptor, for an answer within microseconds.
        value: The value that an answer is to hold; fails the program if it holds none.
        fail: Fails the program as invalid.
        closed: Told when the hooks are.
    """

    ask: Callable[[str, bytes, int], bytes]
    wake: Callable[[str, bytes], bytes]
    value: Callable[[str, bytes], Any]  # Any: plain data
    fail: Callable[[str], NoReturn]
    closed: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an array lies.

    Attributes:
        name: Of the argument or output.
        offset: In the shared memory, bytes.
        shape: As declared.
        dtype: Little-endian.
    """

    name: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]  # Any: whichever was declared

    def plain(self) -> list[Any]:  # Any: plain data
        return [self.name, self.offset, list(self.shape), self.dtype.str]

    def view(self, memory: mmap.mmap) -> np.ndarray:
        return np.ndarray(self.shape, self.dtype, buffer=memory, offset=self.offset)


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
        self._crossings: list[_Crossing] = []
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
        places, used = _laid_out(function, inputs, self._used_bytes)
        results, used = _laid_out(function, outputs, used)
        order = ["bind", function, [place.plain() for place in places], [place.plain() for place in results]]
        return SandboxedHook(self._cross(function, order, places, used), results, finite=finite)

    def bind_loss(self, function: str, inputs: Mapping[str, ArraySpec], *, differentiate: Sequence[str]) -> SandboxedLoss:
        places, used = _laid_out(function, inputs, self._used_bytes)
        floating = [place.name for place in places if place.dtype.kind == "f"]
        if not differentiate or not set(differentiate) <= set(floating):
            raise ValueError(
                f"{function}: differentiate names {', '.join(differentiate) or 'nothing'}; "
                f"inputs of floating-point numbers: {', '.join(floating) or 'none'}"
            )
        value, used = _laid_out(function, {"the loss": ((), "float64")}, used)
        gradients, used = _laid_out(function, {name: inputs[name] for name in differentiate}, used)
        plain = [place.plain() for place in gradients]
        order = ["bind_loss", function, [place.plain() for place in places], value[0].plain(), plain]
        return SandboxedLoss(self._cross(function, order, places, used), inputs, value[0], gradients)

    def _cross(self, function: str, order: list[Any], places: list[_Place], used_bytes: int) -> _Crossing:  # Any: plain data
        """Has the program bind a function, once there is room for it."""
        if self._memory is None:
            raise ValueError(f"{function} cannot be bound: the hooks are closed")
        size_bytes = len(self._memory)
        if used_bytes > size_bytes:
            raise ValueError(
                f"shared_mb = {self._shared_mb} is too small: {function} needs {used_bytes - self._used_bytes} bytes, "
                f"{size_bytes - self._used_bytes} are left; ask for hooks(shared_mb={math.ceil(used_bytes / 2**20)}) or more"
            )
        number = len(self._crossings)
        if number >= _MAX_HOOKS:
            raise ValueError(f"{function} would be one more than {_MAX_HOOKS} hooks")
        bound = self._line.value(function, self._line.ask(function, wire.encode(order), -1))
        # The type comes first: comparing an array gives an array.
        if type(bound) is not int or bound != number:
            self._line.fail(f"{function} was bound out of turn")
        self._used_bytes = used_bytes
        crossing = _Crossing(function, number, self._line, self._memory, places)
        self._crossings.append(crossing)
        return crossing

    def _close(self) -> None:
        for crossing in self._crossings:
            crossing.close()
        if self._memory is not None:
            with suppress(BufferError):  # somebody looks at it; it goes when they do
                self._memory.close()
            self._memory = None
            self._line.closed()


class _Crossing:
    """One bound function: inputs go in, the program is woken, its answer is awaited."""

    def __init__(self, function: str, number: int, line: Line, memory: mmap.mmap, inputs: list[_Place]) -> None:
        self.function = function
        self.line = line
        self._number = number
        self._memory: mmap.mmap | None = memory
        self._inputs = {place.name: (place, place.view(memory)) for place in inputs}
        self._turn = 0

    def call(self, inputs: Mapping[str, np.ndarray]) -> mmap.mmap:
        """Has the program compute; returns the memory that holds what it says."""
        if self._memory is None:
            raise ValueError(f"{self.function} cannot be called: the hooks are closed")
        if inputs.keys() != self._inputs.keys():
            raise TypeError(f"{self.function} takes {', '.join(self._inputs) or 'nothing'}; got {', '.join(inputs) or 'nothing'}")
        for name, value in inputs.items():
            place, view = self._inputs[name]
            array = np.asarray(value)
            if array.shape != place.shape or array.dtype != place.dtype:
                raise ValueError(
                    f"{self.function}: input {name} has shape {array.shape} and dtype {array.dtype}; "
                    f"it was declared with {place.shape} and {place.dtype}"
                )
            view[...] = array
        self._turn = (self._turn + 1) % 2**32
        request = WAKE.pack(MARK, self._number, self._turn)
        answer = self.line.wake(self.function, request)
        if answer != request:
            self._reject(answer)
        return self._memory

    def take(self, memory: mmap.mmap, place: _Place, what: str, *, finite: bool) -> np.ndarray:
        """Copies an array out and checks it, in this order."""
        array = place.view(memory).copy()
        if array.dtype.kind == "b":
            # A byte of 255 is a bool that counts 255 in a sum.
            return np.asarray(array.view(np.uint8) != 0)
        if finite and array.dtype.kind in "fc" and np.count_nonzero(good := np.isfinite(array)) != array.size:
            first = tuple(int(i) for i in np.argwhere(~good)[0])
            where = f" (the first, at {list(first)}, is {array[first]})" if first else f": {array[()]}"
            self.line.fail(f"{what} of {self.function} has {int((~good).sum())} values of {array.size} that are not finite{where}")
        return array

    def close(self) -> None:
        self._memory = None
        self._inputs = {}

    def _reject(self, answer: bytes) -> NoReturn:
        if answer[:1] == MARK:
            self.line.fail(f"{self.function} was answered out of turn")
        self.line.value(self.function, answer)
        self.line.fail(f"{self.function} was answered with a value, not through the shared memory")


class SandboxedHook:
    """Implements `evolve.evaluators.calls.Hook`."""

    def __init__(self, crossing: _Crossing, outputs: list[_Place], *, finite: bool) -> None:
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

    def __init__(self, crossing: _Crossing, inputs: Mapping[str, ArraySpec], value: _Place, gradients: list[_Place]) -> None:
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


def _laid_out(function: str, specs: Mapping[str, ArraySpec], used_bytes: int) -> tuple[list[_Place], int]:
    """Gives arrays places behind what is used; returns them and what is used then.

    Raises:
        ValueError: If a name, shape or dtype is none.
    """
    places = []
    for name, (shape, dtype_name) in specs.items():
        try:
            dtype = np.dtype(dtype_name).newbyteorder("<")
        except TypeError:
            raise ValueError(f"{function}: {name} has dtype {dtype_name!r}; expected one such as 'float32'") from None
        if dtype.kind not in "biufc" or dtype.str not in wire.DTYPES:
            raise ValueError(f"{function}: {name} has dtype {dtype_name}; numbers and bool can cross")
        sizes = tuple(shape)
        if len(sizes) > wire.MAX_DIMENSIONS or not all(isinstance(size, (int, np.integer)) and size >= 0 for size in sizes):
            raise ValueError(f"{function}: {name} has shape {shape!r}; expected at most {wire.MAX_DIMENSIONS} integers >= 0")
        offset = -(-used_bytes // _ALIGN_BYTES) * _ALIGN_BYTES
        places.append(_Place(name, offset, tuple(int(size) for size in sizes), dtype))
        used_bytes = offset + math.prod(places[-1].shape) * dtype.itemsize
    return places, used_bytes
