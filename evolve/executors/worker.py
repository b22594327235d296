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
from evolve.evaluators.cascade import Cascade
from evolve.evaluators.compat.shared import ENTRY, SharedEvaluator
from evolve.evaluators.sandbox import wire
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings, sweep_strangers
from evolve.executors import messages, scoring
from evolve.executors.base import Evaluated, failed
from evolve.program import Isolation, Outcome, Stage, Task

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
            cascade = scoring.load_evaluator(task)
            server = _server(task, Isolation(greeting["isolation"]), alive_fd)
            server.start()
        except Exception as error:  # noqa: BLE001 - reported to the executor
            kind = type(error).__name__ if isinstance(error, EvolveError) else "TaskError"
            text = str(error) if isinstance(error, EvolveError) else f"the task cannot be loaded in a worker: {error!r}"
            _send(stream, {"failed": text, "kind": kind})
            return
        _send(stream, {"ready": True})
        verifier = _server(task, Isolation(greeting["isolation"]), alive_fd)
        with contextlib.closing(server), contextlib.closing(verifier):
            _serve(stream, cascade, task, server, verifier)


def _serve(stream: socket.socket, cascade: Cascade, task: Task, server: ForkServer, verifier: ForkServer) -> None:
    """Answers requests.

    Args:
        stream: From and to the executor.
        cascade: The task's evaluator.
        task: Which task it is.
        server: Runs the search's programs.
        verifier: Runs those that are evaluated again, and finished results; started when it is first needed.
    """
    while True:
        request = _receive(stream)
        if request is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(sys.stderr.fileno(), 0)  # the log holds one evaluation's prints
        # At level `strong` no program reaches its server: another process forked from it is as fresh as can be.
        place = verifier if request["fresh"] and not server.strong else server
        evaluated = _answer(request, cascade, task, place)
        lost = not place.pid
        if lost or (place is verifier and _may_have_been_changed(place)):
            place.close()
        if lost:
            sweep_strangers((server.pid, verifier.pid))
        sys.stdout.flush()
        stream.sendall(wire.frame(_packed(evaluated, task)))


def _answer(request: Mapping[str, Any], cascade: Cascade, task: Task, place: ForkServer) -> Evaluated | None:  # Any: plain data
    """Does what is asked for; None for a part of the evaluator that there is not."""
    files, seed = request["files"], request["seed"]
    match Stage(request["stage"]):
        case Stage.HOLDOUT:
            held_out = scoring.score_holdout(cascade, task, place, files, seed)
            return None if held_out is None else Evaluated(held_out)
        case Stage.PAIRED:
            return scoring.score_paired(cascade, task, place, files, seed, artifacts=request["artifacts"])
    return scoring.score(cascade, task, place, files, seed, artifacts=request["artifacts"])


def _packed(evaluated: Evaluated | None, task: Task) -> bytes:
    """Encodes an evaluation; one that cannot travel becomes the task's failure, which does not end this worker."""
    if evaluated is None:
        return wire.encode({})
    try:
        payload = wire.encode(messages.to_plain(evaluated))
        why = "" if len(payload) <= messages.RESULT_LIMIT_BYTES else _too_large(payload)
    except Exception as error:  # noqa: BLE001 - of whatever type an author's metrics are
        why = f"what the task's evaluator returned cannot be sent: {type(error).__name__}: {error}"
    if not why:
        return payload
    isolation = evaluated.evaluation.isolation
    return wire.encode(messages.to_plain(failed(task, isolation, Outcome.EVALUATOR_FAILED, why)))


def _too_large(payload: bytes) -> str:
    limit = messages.RESULT_LIMIT_BYTES // 2**20
    return (
        f"what the task's evaluator returned takes {len(payload) / 2**20:.0f} MB, and at most {limit} MB are kept of an "
        "evaluation; shorten its feedback, or write a smaller figure and smaller artifacts"
    )


def _may_have_been_changed(server: ForkServer) -> bool:
    """Whether a program could have changed the fork server that it came from: nothing keeps it away at level ``process``."""
    return server.settings.isolation is Isolation.PROCESS


def _server(task: Task, isolation: Isolation, alive_fd: int) -> ForkServer:
    hidden = (task.folder,) if task.folder is not None else ()
    entry = ENTRY if isinstance(task.evaluate, SharedEvaluator) else next(iter(task.files))
    settings = SandboxSettings(entry, task.limits, isolation, hidden, (alive_fd,), build=task.build, command=task.command)
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
