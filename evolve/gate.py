"""A door that lets so many in at once, where that number may change meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType

_LOOK_S = 2.0


class Gate:
    """An asynchronous context manager like a semaphore, first come, first served, whose size is asked for each time.

    Where the number has grown, that is seen when somebody leaves or comes, at `widened`, or within two seconds.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        """Opens it.

        Args:
            limit: Returns how many may be inside at once, at least one.
        """
        self._limit = limit
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._inside < self._limit() and not self._waiting:
            self._inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.widened()
        try:
            while not turn.done():
                await asyncio.wait([turn], timeout=_LOOK_S)
                self.widened()
        except asyncio.CancelledError:
            if not turn.cancel():
                self._leave()  # it was let in and will not come
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leave()

    def widened(self) -> None:
        """Lets in who waits, as far as there is room."""
        while self._waiting and self._inside < self._limit():
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def _leave(self) -> None:
        self._inside -= 1
        self.widened()
