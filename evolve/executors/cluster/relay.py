"""Carries attempts through Ray's client server, for controllers that run on no node of the cluster.

The client server cannot hand over what a task says before it ends, so the `Dispatcher` lives in an actor on the cluster, and the
driver process sends it orders and asks for what has happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from evolve.executors.cluster.dispatcher import Dispatcher, Tell
from evolve.executors.cluster.needs import Needs

#: How long the actor waits for something to tell before it says that there is nothing.
_POLL_S = 5.0


@ray.remote(num_cpus=0, max_restarts=0, max_concurrency=1000)
class Relay:
    """A dispatcher on the cluster."""

    async def begin(self, needs: Needs, parcel: bytes) -> None:
        """Starts to watch the cluster."""
        self._events: list[Mapping[str, Any]] = []
        self._happened = asyncio.Event()
        self._dispatcher = Dispatcher(needs, parcel, self._tell)
        self._watching = asyncio.create_task(self._dispatcher.watch())
        self._watching.add_done_callback(lambda _: self._happened.set())

    async def take(self, orders: Sequence[Mapping[str, Any]]) -> None:
        """Takes what the driver process sends."""
        for order in orders:
            self._dispatcher.take(order)

    async def events(self) -> list[Mapping[str, Any]]:
        """Waits until something has happened, and returns it; nothing where nothing did.

        Raises:
            ConnectionError: If the cluster is watched no more, since its head does not answer: nodes that go would not be noticed.
        """
        if not self._events:
            try:
                async with asyncio.timeout(_POLL_S):
                    await self._happened.wait()
            except TimeoutError:
                return []
        if self._watching.done():
            self._watching.result()
        self._happened.clear()
        events, self._events = self._events, []
        return events

    def _tell(self, event: Mapping[str, Any]) -> None:
        self._events.append(event)
        self._happened.set()


class RelayedDispatcher:
    """Speaks as a `Dispatcher` does, to one on the cluster."""

    def __init__(self, needs: Needs, parcel: bytes, tell: Tell) -> None:
        """Starts the actor."""
        self._relay = Relay.remote()  # type: ignore[attr-defined]  # the decorator's, and Ray's types are not read
        self._begun = asyncio.create_task(self._begin(needs, parcel))
        self._tell = tell
        self._sending: set[asyncio.Task[None]] = set()

    def take(self, message: Mapping[str, Any]) -> None:  # Any: plain data
        """Passes on what a controller asks for."""
        task = asyncio.create_task(self._sent(message))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def watch(self) -> None:
        """Passes on what happens, for good; ends with Ray's error when the cluster is lost."""
        await self._begun
        while True:
            for event in await self._relay.events.remote():
                self._tell(event)

    async def close(self) -> None:
        ray.kill(self._relay)

    async def _begin(self, needs: Needs, parcel: bytes) -> None:
        await self._relay.begin.remote(needs, parcel)

    async def _sent(self, order: Mapping[str, Any]) -> None:  # Any: plain data
        # `watch` meets the same error, and ends the connection.
        with contextlib.suppress(ray.exceptions.RayError):
            await self._begun
            await self._relay.take.remote([order])
