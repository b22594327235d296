"""The worker's end of callbacks: which request of a program is honoured, and what running it comes to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from evolve.evaluators.calls import Callback, Refused
from evolve.evaluators.sandbox import wire


class Overstepped(Exception):
    """The program asked for what it was not lent, or for more; the message says so."""


def is_request(message: object) -> bool:
    """Whether a program's message is meant as a callback, in order or not."""
    # The types come first: comparing an array gives an array.
    return type(message) is list and len(message) > 0 and type(message[0]) is str and message[0] == "callback"


class Request(NamedTuple):
    """A call of a lent function that is within its limits.

    Attributes:
        function: To be called.
        signature: What it takes; None for a function of C that does not say.
        arguments: Made up by the program.
        keywords: The same.
    """

    function: Callable[..., Any]  # Any: here and below, plain data
    signature: inspect.Signature | None
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def run(self) -> bytes:
        """Runs it and encodes what the program is to be told.

        Raises:
            TypeError: If it returns something that cannot cross.
            Exception: Whatever it raises, but for `Refused`.
        """
        if self.signature is not None:
            try:
                self.signature.bind(*self.arguments, **self.keywords)
            except TypeError as mistake:
                return wire.encode(["mistaken", str(mistake)])
        try:
            return wire.encode(["value", self.function(*self.arguments, **self.keywords)])
        except Refused as refused:
            return wire.encode(["refused", _crossable(str(refused))])


class Lent:
    """The functions that one call lends, and how often each was called.

    Attributes:
        names: Of the functions.
    """

    def __init__(self, callbacks: Mapping[str, Callback | Callable[..., Any]], call: int, taken: Mapping[str, object]) -> None:
        """Checks what is lent.

        Args:
            callbacks: By name.
            call: The number of the call.
            taken: Keyword arguments of the call.

        Raises:
            TypeError: If a name is taken, or something cannot be called.
            ValueError: If a name cannot be an argument's.
        """
        for name in callbacks:
            if not (isinstance(name, str) and name.isidentifier()):
                raise ValueError(f"a callback arrives as a keyword argument, and {name!r} cannot be the name of one")
            if name in taken:
                raise TypeError(f"{name} is given twice: as a keyword argument and as a callback")
        self.names = list(callbacks)
        self._callbacks = {name: lent if isinstance(lent, Callback) else Callback(lent) for name, lent in callbacks.items()}
        self._signatures = {name: _signature(lent.function) for name, lent in self._callbacks.items()}
        self._call = call
        self._calls = dict.fromkeys(callbacks, 0)

    def admit(self, message: object, size_bytes: int) -> Request:
        """Checks a request, which the program may have forged, and counts it.

        Args:
            message: For which `is_request` holds.
            size_bytes: Its size.

        Raises:
            Overstepped: If it is not to be honoured.
        """
        match message:
            case [_, int(call), str(name), tuple(arguments), dict(keywords)] if all(type(key) is str for key in keywords):
                pass
            case _:
                raise Overstepped("a request for a callback is not in the protocol")
        if name not in self._callbacks:
            raise Overstepped(f"it called {name[:100]!r}, which it was not lent; it was lent: {', '.join(self.names) or 'nothing'}")
        if call != self._call:
            raise Overstepped(f"it called {name} for another call than the present one; callbacks end with the call that lent them")
        lent = self._callbacks[name]
        if size_bytes > lent.max_bytes:
            raise Overstepped(f"it called {name} with {size_bytes} bytes of arguments; max_bytes = {lent.max_bytes}")
        self._calls[name] += 1
        if self._calls[name] > lent.max_calls:
            raise Overstepped(f"it called {name} more than max_calls = {lent.max_calls} times")
        return Request(lent.function, self._signatures[name], arguments, keywords)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:  # Any: plain data
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        return None


def _crossable(text: str) -> str:
    """A text without lone surrogates, which cannot be encoded."""
    return text.encode(errors="replace").decode()
