"""The program's end of hooks: arrays in memory shared with the worker, and the functions that take and fill them.

Stands alone like ``runner.py``, which loads it by path.

The worker sends ``["hooks", size]`` with a byte that carries the memory's descriptor, and is answered ``["ok", names of the
program's functions]``. Then it binds functions, each array as ``[name, offset, shape, dtype]``, and is answered ``["ok", the
hook's number]``:

* ``["bind", function, inputs, outputs]``;
* ``["bind_loss", function, inputs, value, gradients]``;
* ``["bind_tensors", function, inputs, outputs, back, gradients]``, where ``back`` is a cotangent for each output of
  floating-point numbers and flags that say which of them count. If anything is differentiated, the number behind the hook's
  takes gradients back through its last call.

After that a message of eight bytes, `WAKE`, calls what has a number: its inputs are in place. The answer is the same eight
bytes once the outputs are, or a list as for a call, or ``["unfit", why]``.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

#: The first byte, which no MessagePack value begins with; the hook's number; which turn it is.
WAKE = struct.Struct(">cxHI")
MARK = b"\xc1"


class Hooks:
    """The shared memory and what is bound to it."""

    def __init__(self, differentiate: ModuleType) -> None:
        """Prepares.

        Args:
            differentiate: ``torch_inside.py``.
        """
        self._differentiate = differentiate
        self._memory: mmap.mmap | None = None
        #: Each says what is wrong with what the program returned, or nothing.
        self._bound: list[Callable[[], str]] = []

    def open(self, channel: socket.socket, size_bytes: int) -> None:
        """Receives the memory's descriptor and maps it, in place of what was mapped before."""
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1, socket.MSG_CMSG_CLOEXEC)
        try:
            self._memory = mmap.mmap(descriptors[0], size_bytes)
        except OSError as error:
            raise MemoryError(f"memory of {size_bytes} bytes cannot be shared: {error.strerror}") from None
        finally:
            os.close(descriptors[0])
        self._bound = []

    def bind(self, kind: str, function: Callable[..., Any], places: list[Any]) -> int:  # Any: arrays; names, sizes
        """Binds a function as the worker's message says; returns its number."""
        number = len(self._bound)
        if kind == "bind":
            self._bound += self._bind_arrays(function, *places)
        elif kind == "bind_loss":
            self._bound += self._bind_loss(function, *places)
        else:
            self._bound += self._bind_tensors(function, *places)
        return number

    def wake(self, request: bytes) -> bytes | list[str]:
        """Calls a hook; returns the worker's message, or why the answer does not fit."""
        _, number, _ = WAKE.unpack(request)
        why = self._bound[number]()
        return ["unfit", why] if why else request

    def _bind_arrays(
        self,
        function: Callable[..., Any],
        inputs: list[list[Any]],
        outputs: list[list[Any]],  # Any: see above
    ) -> list[Callable[[], str]]:
        read_only = self._views(inputs)
        for view in read_only.values():
            view.flags.writeable = False
        return [_ArrayFunction(function, read_only, self._views(outputs)).answer]

    def _bind_loss(
        self,
        function: Callable[..., Any],  # Any: here and below, tensors; names and sizes of arrays
        inputs: list[list[Any]],
        value: list[Any],
        gradients: list[list[Any]],
    ) -> list[Callable[[], str]]:
        return [self._differentiate.Loss(function, self._views(inputs), self._view(value), self._views(gradients)).answer]

    def _bind_tensors(
        self,
        function: Callable[..., Any],
        inputs: list[list[Any]],
        outputs: list[list[Any]],
        back: list[list[Any]],
        gradients: list[list[Any]],
    ) -> list[Callable[[], str]]:
        views = self._views(inputs), self._views(outputs), [self._view(place) for place in back], self._views(gradients)
        bound = self._differentiate.TensorFunction(function, *views, in_order=in_order)
        return [bound.answer, bound.pull_back] if gradients else [bound.answer]

    def _views(self, places: list[list[Any]]) -> dict[str, np.ndarray]:
        return {place[0]: self._view(place) for place in places}

    def _view(self, place: list[Any]) -> np.ndarray:  # Any: name, offset, shape, dtype
        _, offset, shape, dtype = place
        assert self._memory is not None
        return np.ndarray(shape, dtype, buffer=self._memory, offset=offset)


class _ArrayFunction:
    """A function of the program with views of its inputs and outputs."""

    def __init__(self, function: Callable[..., Any], inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> None:
        self._function = function
        self._inputs = inputs
        self._outputs = outputs

    def answer(self) -> str:
        """Calls it and copies what it returns; says what is wrong with that, or nothing."""
        # Views of their own each time: a program may give one another shape in place.
        answer = self._function(**{name: view.view() for name, view in self._inputs.items()})
        values = in_order(list(self._outputs), answer, "arrays")
        if isinstance(values, str):
            return values
        for (name, place), value in zip(self._outputs.items(), values, strict=True):
            why = _store(name, place, value)
            if why:
                return why
        return ""


def in_order(names: list[str], answer: object, what: str) -> list[Any] | str:  # Any: whatever the program returned
    """Lists what a function returned in the order of its outputs; or says why it does not.

    Args:
        names: Of the outputs.
        answer: A sequence in their order, or a dict; or the output itself, if there is one.
        what: Outputs are.
    """
    if isinstance(answer, dict):
        if set(answer) != set(names):
            return f"a dict with {_listed(answer)}; expected {_listed(names)}"
        return [answer[name] for name in names]
    if len(names) == 1:
        return [answer]
    if not isinstance(answer, (tuple, list)) or len(answer) != len(names):
        length = f" of {len(answer)}" if isinstance(answer, (tuple, list)) else ""
        return f"a {type(answer).__name__}{length}; expected {len(names)} {what}: {_listed(names)}"
    return list(answer)


def _store(name: str, place: np.ndarray, value: object) -> str:
    """Copies an answer to its place; says why not, or nothing."""
    try:
        array = np.asarray(value)
    except Exception as error:  # noqa: BLE001 - lists of unequal lengths, tensors with a gradient, whatever __array__ raises
        return f"{name}: {type(value).__name__} is not an array ({error}); {_expected(place)}"
    if array.shape == place.shape and array.dtype == place.dtype:
        place[...] = array
        return ""
    if array.dtype.kind not in "biufc":
        return f"{name}: a {type(value).__name__}, as an array of dtype {array.dtype}; {_expected(place)}"
    if array.shape != place.shape:
        return f"{name}: an array of shape {array.shape}; {_expected(place)}"
    if not np.can_cast(array.dtype, place.dtype, "same_kind"):
        return f"{name}: an array of dtype {array.dtype}; {_expected(place)}"
    with np.errstate(over="ignore"):  # the worker sees the infinity
        np.copyto(place, array, casting="same_kind")
    return ""


def _expected(place: np.ndarray) -> str:
    return f"expected an array of shape {place.shape} and dtype {place.dtype}"


def _listed(names: Sequence[str] | dict[str, Any]) -> str:  # Any: not looked at
    return ", ".join(str(name)[:100] for name in list(names)[:20]) or "nothing"
