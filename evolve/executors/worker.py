"""The process that runs a task's evaluator: trusted, but killable.

Its parent, an executor, holds the other end of a socket. Messages are frames of `evolve.evaluators.sandbox.wire`: first
the executor's greeting (task, isolation level, import path), answered by ``{"ready": True}`` or ``{"failed": why, "kind":
exception's name}``; then one program at a time, answered by an evaluation (`evolve.executors.messages`). At the end of the
stream, and when the executor's process dies, the worker ends with everything below it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

import cloudpickle

from evolve.errors import EvolveError
from evolve.evaluators import tools
from evolve.evaluators.sandbox import wire
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings, sweep_strangers
from evolve.executors import messages, scoring
from evolve.program import Isolation, Task

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(stream_fd: int, alive_fd: int, parent: int) -> None:
    """Serves an executor until it hangs up or dies.

    Args:
        stream_fd: Carries the messages.
        alive_fd: Held open by this process and its fork server, so that the executor can tell when both are gone.
        parent: The executor's process.
    """
    _tie_to(parent)
    os.set_inheritable(alive_fd, False)
    with socket.socket(fileno=stream_fd) as stream:
        greeting = _receive(stream)
        if greeting is None:
            return
        sys.path[:] = greeting["import_path"]
        try:
            task: Task = cloudpickle.loads(greeting["task"])
            tools.require(task)
            evaluate = scoring.load_evaluator(task)
            server = _server(task, Isolation(greeting["isolation"]), alive_fd)
            server.start()
        except Exception as error:  # noqa: BLE001 - reported to the executor
            kind = type(error).__name__ if isinstance(error, EvolveError) else "TaskError"
            text = str(error) if isinstance(error, EvolveError) else f"the task cannot be loaded in a worker: {error!r}"
            _send(stream, {"failed": text, "kind": kind})
            return
        _send(stream, {"ready": True})
        with contextlib.closing(server):
            _serve(stream, evaluate, task, server)


def _serve(stream: socket.socket, evaluate: scoring.Evaluator, task: Task, server: ForkServer) -> None:
    while True:
        request = _receive(stream)
        if request is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(sys.stderr.fileno(), 0)  # the log holds one evaluation's prints
        evaluated = scoring.score(evaluate, task, server, request["files"], request["seed"], figure=request["figure"])
        if not server.pid:
            server.close()  # its siblings are of other sessions as well
            sweep_strangers()
        sys.stdout.flush()
        _send(stream, messages.to_plain(evaluated))


def _server(task: Task, isolation: Isolation, alive_fd: int) -> ForkServer:
    hidden = (task.folder,) if task.folder is not None else ()
    settings = SandboxSettings(
        next(iter(task.files)), task.limits, isolation, hidden, (alive_fd,), build=task.build, command=task.command
    )
    return ForkServer(settings)


def _tie_to(parent: int) -> None:
    """Makes this process end with its parent, and the parent's business (such as Ctrl-C) not its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    # The fork server notices the worker's death by itself and sweeps before it ends.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _receive(stream: socket.socket) -> Mapping[str, Any] | None:  # Any: plain data of the executor
    payload = wire.read_frame(stream.recv, messages.MESSAGE_LIMIT_BYTES)
    return None if payload is None else wire.decode(payload)


def _send(stream: socket.socket, message: Mapping[str, Any]) -> None:  # Any: plain data
    stream.sendall(wire.frame(wire.encode(message)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
