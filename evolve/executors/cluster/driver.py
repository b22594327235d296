"""The process that is Ray's driver: connects with a cluster and carries attempts between it and the controller.

It is a process of its own because Ray ends its driver when the cluster's head is gone, prints where it likes and takes over
signals, and because the controller must stay as quick to start, and as small, as it is without. Messages are frames of
`evolve.evaluators.sandbox.wire` on a socket: first the greeting, answered by ``ready`` or ``failed``; then orders, and what
becomes of them. At the end of the stream it leaves the cluster and ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import Any

import ray

from evolve.evaluators.sandbox import wire
from evolve.executors.cluster.address import Address, Way
from evolve.executors.cluster.dispatcher import Dispatcher
from evolve.executors.cluster.needs import Needs
from evolve.executors.cluster.relay import RelayedDispatcher
from evolve.executors.messages import MESSAGE_LIMIT_BYTES

#: Ray's shutdown takes a second or two; one that takes longer waits for a cluster that is gone.
_SHUTDOWN_S = 10.0
_CLIENT_TRIES = 3
_KNOCK_S = 10.0
#: Of a cluster that is started for a run: results are small, and the parcel is the largest object.
_STORE_BYTES = 128 * 2**20


def main(stream_fd: int) -> None:
    """Serves a controller until it hangs up or dies."""
    stream = socket.socket(fileno=stream_fd)
    stream.setblocking(True)
    payload = wire.read_frame(stream.recv, MESSAGE_LIMIT_BYTES)
    if payload is None:
        return
    greeting = wire.decode(payload)
    # Short, whatever the system's own is: the names of Ray's sockets must be shorter than 108 bytes.
    with tempfile.TemporaryDirectory(prefix="evolve-ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        try:
            _connect(greeting, folder)
        except Exception as error:  # noqa: BLE001 - reported to the controller; Ray raises whatever it meets
            stream.sendall(wire.frame(wire.encode({"kind": "failed", "why": f"{type(error).__name__}: {error}"})))
            return
        try:
            asyncio.run(_serve(stream, greeting))
        finally:
            ray.shutdown()


def _connect(greeting: Mapping[str, Any], folder: str) -> None:  # Any: plain data
    """Connects with the cluster that the greeting names, or starts one.

    Args:
        greeting: Of the controller.
        folder: For the files of a cluster that is started.

    Raises:
        Exception: Whatever Ray raises.
    """
    _knock(Address(Way(greeting["way"]), greeting["address"]))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _use_token(here=greeting["way"] == Way.HERE)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if greeting["way"] == Way.CLIENT:
        _connect_client(greeting["address"])
        return
    if greeting["way"] == Way.NODE:
        ray.init(greeting["address"], **quiet)
        return
    needs, at_once = Needs(**greeting["needs"]), greeting["at_once"]
    processors = os.cpu_count() or 1
    ray.init(
        "local",
        # Where it is said how many evaluations shall run at once, this machine counts as large enough for them.
        num_cpus=int(needs.cpus * at_once) if at_once else None,
        resources={name: amount * (at_once or processors) for name, amount in needs.custom.items()} or None,
        object_store_memory=_STORE_BYTES + 2 * len(greeting["parcel"]),
        include_dashboard=False,
        _temp_dir=folder,
        **quiet,
    )


def _knock(address: Address) -> None:
    """Makes sure that somebody listens at an address: Ray would try for minutes.

    Raises:
        OSError: If nobody does.
    """
    if address.endpoint is not None:
        with socket.create_connection(address.endpoint, _KNOCK_S):
            pass


def _connect_client(address: str) -> None:
    """Connects by the client server, again where the process that it starts for a client ends at once.

    That was seen (Ray 2.60) where gRPC fell over its own threads while the client server forked, which
    ``GRPC_ENABLE_FORK_SUPPORT=0`` in the head's environment prevents, and where two heads on one machine gave the same port to two
    such processes.
    """
    for left in reversed(range(_CLIENT_TRIES)):
        try:
            ray.init(address, logging_level=logging.ERROR)
            return
        except RuntimeError as error:
            if not left or "client server failed" not in str(error):
                raise


def _use_token(*, here: bool) -> None:
    """Keeps Ray's authentication on: where its mode is not said and a token is to be had, the token is used.

    Ray does so of itself where it starts a cluster, and not where it joins one.
    """
    if here or os.environ.get("RAY_AUTH_MODE"):
        return
    kept = os.path.expanduser("~/.ray/auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.exists(kept):
        os.environ["RAY_AUTH_MODE"] = "token"


async def _serve(stream: socket.socket, greeting: Mapping[str, Any]) -> None:  # Any: plain data
    reader, writer = await asyncio.open_connection(sock=stream)

    def tell(event: Mapping[str, Any]) -> None:
        writer.write(wire.frame(wire.encode(dict(event))))

    made = RelayedDispatcher if greeting["way"] == Way.CLIENT else Dispatcher
    dispatcher = made(Needs(**greeting["needs"]), greeting["parcel"], tell)
    tell({"kind": "ready"})
    watching = asyncio.create_task(dispatcher.watch())
    listening = asyncio.create_task(_listen(reader, dispatcher))
    try:
        await asyncio.wait((watching, listening), return_when=asyncio.FIRST_COMPLETED)
        if watching.done() and (error := watching.exception()) is not None:
            tell({"kind": "failed", "why": f"{type(error).__name__}: {error}"})
            await writer.drain()
        await dispatcher.close()
    finally:
        threading.Thread(target=_end_anyway, daemon=True).start()
        watching.cancel()
        listening.cancel()
        writer.close()


async def _listen(reader: asyncio.StreamReader, dispatcher: Dispatcher | RelayedDispatcher) -> None:
    """Takes orders until the controller hangs up."""
    while True:
        try:
            (size,) = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
            message = wire.decode(await reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError):
            return
        dispatcher.take(message)


def _end_anyway() -> None:
    time.sleep(_SHUTDOWN_S)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
