"""Memory shared with a program: where arrays lie in it, and calls through it.

What comes back is copied before it is looked at, since the program may go on writing.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from evolve.evaluators.calls import ArraySpec
from evolve.evaluators.sandbox import wire
from evolve.evaluators.sandbox.hooks_inside import MARK, WAKE

#: Of a cache line: arrays that two processes write do not share one.
_ALIGN_BYTES = 64


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
class Place:
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


class Crossing:
    """One bound function: inputs go in, the program is woken, its answer is awaited."""

    def __init__(self, function: str, number: int, line: Line, memory: mmap.mmap, inputs: list[Place]) -> None:
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

    def take(self, memory: mmap.mmap, place: Place, what: str, *, finite: bool) -> np.ndarray:
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


def laid_out(function: str, specs: Mapping[str, ArraySpec], used_bytes: int) -> tuple[list[Place], int]:
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
        places.append(Place(name, offset, tuple(int(size) for size in sizes), dtype))
        used_bytes = offset + math.prod(places[-1].shape) * dtype.itemsize
    return places, used_bytes


def plain(places: Sequence[Place]) -> list[Any]:  # Any: plain data
    """Lists places as the program is told them."""
    return [place.plain() for place in places]
