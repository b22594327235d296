"""A program's own process, once it is confined: lays its files out, then loads it and answers calls, or becomes it.

Stands alone like ``runner.py``, which loads it by path: the standard library, MessagePack, numpy and the neighbours that it
is handed.

The worker's first frame is a dict: ``files`` (bytes by relative path), and either ``argv`` (what to run in this process's
place; ``executable`` names the files that may be run, and ``["becoming", CPU seconds so far]`` is the answer) or ``seed``,
``entry`` (the Python file that calls go to) and ``gpu_fraction`` (of an accelerator's memory, or None).
After that it sends ``["call", function, arguments, keyword arguments, number, names of callbacks]`` and is answered with one
of ``["ok", value]``, ``["raised", exception's name, text]``, ``["unsendable", why]``, ``["missing", names that exist]``,
``["load", exception's name, text]``. The program can forge any of them, which changes nothing: an answer is data from the
program in any case. ``callbacks_inside.py`` says what passes during a call, ``hooks_inside.py`` what else the worker sends.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

#: Arguments come from the trusted side.
_REQUEST_LIMIT_BYTES = 2**31
_TEXT_LIMIT = 4000
#: Without a traceback: there may be no memory to format one in.
_OUT_OF_MEMORY = ["raised", "MemoryError", "MemoryError"]
#: As shells have it.
_CANNOT_RUN = 127
#: Joining header and payload copies it; sending them one by one wakes the worker twice.
_JOINED_BYTES = 2**16
_NAMES_TOLD = 1000


class Parts(NamedTuple):
    """Neighbours of this file.

    Attributes:
        wire: Encodes and decodes.
        callbacks: ``callbacks_inside.py``.
        hooks: ``hooks_inside.py``.
        torch: ``torch_inside.py``.
    """

    wire: ModuleType
    callbacks: ModuleType
    hooks: ModuleType
    torch: ModuleType


def serve(parts: Parts, channel: socket.socket, scratch: str) -> None:
    """Does what the worker's first frame says; returns when the worker hangs up."""
    payload = parts.wire.read_frame(channel.recv, _REQUEST_LIMIT_BYTES)
    if payload is None:
        return
    orders = parts.wire.decode(payload)
    for name, content in orders["files"].items():
        _write(name, content)
    for name in orders.get("executable", ()):
        os.chmod(name, 0o700)
    if "argv" in orders:
        _become(parts.wire, channel, orders["argv"])
    random.seed(orders["seed"])
    sys.modules["numpy.random"].seed(orders["seed"] % 2**32)
    if orders["gpu_fraction"] is not None:
        parts.torch.limit_gpu_memory(orders["gpu_fraction"])
    _Program(parts, channel, scratch, orders["entry"]).answer_calls()


def _write(name: str, content: bytes) -> None:
    folder = os.path.dirname(name)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(name, "wb") as file:
        file.write(content)
    if content[:2] == b"#!":
        os.chmod(name, 0o700)


def _become(wire: ModuleType, channel: socket.socket, argv: list[str]) -> NoReturn:
    # The last word of this program: the channel closes when the other one begins, whose CPU time counts from here.
    channel.sendall(wire.frame(wire.encode(["becoming", time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)])))
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"{argv[0]} cannot be run: {error.strerror}\n".encode(errors="replace"))
        os._exit(_CANNOT_RUN)


class _Program:
    """Loads the program and answers calls until the worker hangs up."""

    def __init__(self, parts: Parts, channel: socket.socket, scratch: str, entry: str) -> None:
        self._wire = parts.wire
        self._callbacks = parts.callbacks
        self._mark = parts.hooks.MARK
        self._hooks = parts.hooks.Hooks(parts.torch)
        self._channel = channel
        self._scratch = scratch
        self._entry = entry
        self._module = ModuleType("none")

    def answer_calls(self) -> None:
        failure = self._load()
        while True:
            request = self._wire.read_frame(self._channel.recv, _REQUEST_LIMIT_BYTES)
            if request is None:
                return
            reply = failure or self._guarded(self._answer, request)
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # the program may have closed or replaced it
                    stream.flush()
            payload = reply if isinstance(reply, bytes) else self._wire.encode(reply)
            if len(payload) <= _JOINED_BYTES:
                self._channel.sendall(self._wire.frame(payload))
                continue
            self._channel.sendall(self._wire.HEADER.pack(len(payload)))
            self._channel.sendall(payload)

    def _load(self) -> list[str] | None:
        """Imports the entry file by path, whatever it is called; returns what every call is to be answered with if it fails."""
        sys.path.insert(0, self._scratch)  # for siblings
        name = self._entry.removesuffix(".py").replace("/", ".")
        try:
            spec = importlib.util.spec_from_file_location(name, f"{self._scratch}/{self._entry}")
            if spec is None or spec.loader is None:
                raise ImportError(f"{self._entry} is not a Python file")
            self._module = importlib.util.module_from_spec(spec)
            sys.modules[name] = self._module
            spec.loader.exec_module(self._module)
        except MemoryError:
            return _OUT_OF_MEMORY
        except BaseException as error:  # noqa: BLE001 - SystemExit too: reported to the worker
            return ["load", type(error).__name__, _describe(error, self._scratch)]
        return None

    def _answer(self, request: bytes) -> bytes | list[Any]:
        """Does what the worker asks for: the answer, already encoded or not."""
        if request[:1] == self._mark:
            woken: bytes | list[str] = self._hooks.wake(request)
            return woken
        kind, *rest = self._wire.decode(request, keep_read_only=True)
        if kind == "call":
            return self._call(*rest)
        if kind == "hooks":
            self._hooks.open(self._channel, rest[0])
            return ["ok", self._names()]
        function, *places = rest
        found = self._find(function)
        if found is None:
            return ["missing", self._names()]
        return ["ok", self._hooks.bind(kind, found, places)]

    def _call(
        self,
        function: str,
        arguments: tuple[Any, ...],  # Any: plain data
        keywords: dict[str, Any],
        number: int,
        lent: list[str],
    ) -> bytes | list[Any]:
        found = self._find(function)
        if found is None:
            return ["missing", self._names()]
        callbacks = self._callbacks.Callbacks(self._wire, self._channel, number, lent)
        try:
            answer = found(*arguments, **keywords, **callbacks.functions)
        finally:
            callbacks.close()
        try:
            encoded: bytes = self._wire.encode(["ok", answer])
        except self._wire.Unsendable as error:
            return ["unsendable", str(error)]
        return encoded

    def _find(self, function: str) -> Callable[..., Any] | None:  # Any: whatever the program's function takes
        found = getattr(self._module, function, None)
        return found if callable(found) else None

    def _names(self) -> list[str]:
        names = sorted(name for name, value in vars(self._module).items() if callable(value) and name[:1] != "_")
        return names[:_NAMES_TOLD]

    def _guarded(self, work: Callable[[bytes], bytes | list[Any]], request: bytes) -> bytes | list[Any]:  # Any: plain data
        """Does something that runs the program's code: its answer, or what went wrong."""
        try:
            return work(request)
        except MemoryError:
            return _OUT_OF_MEMORY
        except BaseException as error:  # noqa: BLE001 - SystemExit too: reported to the worker
            return ["raised", type(error).__name__, _describe(error, self._scratch)]


def _describe(error: BaseException, scratch: str) -> str:
    """Formats an exception with the frames that lie in the program's own files, their paths relative."""
    report = traceback.TracebackException(type(error), error, error.__traceback__, limit=-200)
    pending = [report]
    while pending:
        part = pending.pop()
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if f.filename.startswith(scratch)])
        pending.extend(cause for cause in (part.__cause__, part.__context__) if cause is not None)
    text = "".join(report.format()).replace(scratch + "/", "")
    # Lone surrogates cannot cross.
    return text.encode(errors="replace").decode()[-_TEXT_LIMIT:]
