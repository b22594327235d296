"""Ends waits at once when a run stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evolve.errors import ModelError


class Stopping(ModelError):
    """The run is stopping; the call was not sent."""


class Stop:
    """Tells whoever waits that the run is stopping.

    **Concurrency.** For the tasks of one event loop, in which `set` is called too.
    """

    def __init__(self, message: str) -> None:
        """Stops nobody yet.

        Args:
            message: What those who are stopped are told.
        """
        self._message = message
        self._set = False
        self._waits: set[asyncio.Timeout] = set()

    @property
    def is_set(self) -> bool:
        """Whether the run is stopping."""
        return self._set

    def set(self) -> None:
        """Ends the waits of now and of later; again does nothing."""
        if self._set:
            return
        self._set = True
        for wait in self._waits:
            wait.reschedule(asyncio.get_running_loop().time())

    def check(self) -> None:
        """Looks whether the run is stopping.

        Raises:
            Stopping: If it is.
        """
        if self._set:
            raise Stopping(self._message)

    @asynccontextmanager
    async def ends(self) -> AsyncIterator[None]:
        """Cancels what is awaited within its block when the run stops.

        What is awaited runs in the caller's own task. In a task apart, what it was granted in the moment in which the caller is
        cancelled would be lost.

        Raises:
            Stopping: If the run stops, or has.
        """
        self.check()
        try:
            async with asyncio.timeout(None) as wait:
                self._waits.add(wait)
                try:
                    yield
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            self.check()
            raise
