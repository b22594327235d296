"""The program's end of callbacks: functions that have the worker run something of the evaluator's.

Stands alone like ``runner.py``, which loads it by path.

During a call the program sends ``["callback", number of the call, name, arguments, keyword arguments]`` and is answered with
``["value", what]``, ``["refused", why]`` or ``["mistaken", why]``, the latter for arguments that the function does not take.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

#: Answers come from the trusted side.
_ANSWER_LIMIT_BYTES = 2**31


class Refused(RuntimeError):
    """The evaluator does not answer a callback; the message says why."""


# A traceback names the module of a class otherwise, and this one's says nothing to the program.
Refused.__module__ = "builtins"


class Callbacks:
    """What was lent for one call; dead once that is answered.

    Attributes:
        functions: By the name of the argument that each is passed as.
    """

    def __init__(self, wire: ModuleType, channel: socket.socket, number: int, names: Sequence[str]) -> None:
        self._wire = wire
        self._channel = channel
        self._number = number
        # One conversation at a time: the program's threads may call at once.
        self._lock = threading.Lock()
        self._closed = False
        self.functions = {name: _Function(self, name) for name in names}

    def ask(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:  # Any: plain data
        """Has the worker run a function, and returns or raises what it says."""
        request = self._wire.encode(["callback", self._number, name, arguments, keywords])
        with self._lock:
            if self._closed:
                raise RuntimeError(f"{name} was lent for one call of this program, which has been answered")
            self._channel.sendall(self._wire.frame(request))
            payload = self._wire.read_frame(self._channel.recv, _ANSWER_LIMIT_BYTES)
        if payload is None:
            raise EOFError("the evaluation is over")
        kind, answer = self._wire.decode(payload, keep_read_only=True)
        if kind == "value":
            return answer
        raise Refused(answer) if kind == "refused" else TypeError(answer)

    def close(self) -> None:
        """Ends it, after a callback of another thread that is under way."""
        with self._lock:
            self._closed = True


class _Function:
    """What the program gets."""

    Refused = Refused

    def __init__(self, callbacks: Callbacks, name: str) -> None:
        self.__name__ = name
        self._callbacks = callbacks

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:  # Any: plain data
        return self._callbacks.ask(self.__name__, arguments, keywords)
