"""Ctrl-C: a first one stops runs cleanly, a second one at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from evolve.loop import Loop

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Driven(NamedTuple):
    """A loop, and what drives it."""

    loop: Loop
    driver: asyncio.Task[Any]  # Any: what a task returns is its own affair


class Interrupts:
    """Stops the runs that are driven, however many, when a person or the system asks for it.

    All runs that share one belong to one event loop.
    """

    def __init__(self) -> None:
        self._driven: list[_Driven] = []
        self.caught = False
        """Whether runs were told to stop; none should be begun then."""

    def stop(self) -> None:
        """Tells every driven run to stop cleanly."""
        self.caught = True
        for driven in self._driven:
            driven.loop.stop("interrupted")

    def _signalled(self) -> None:
        for driven in self._driven:
            if driven.loop.stop_reason:
                driven.driver.cancel()
        self.stop()

    @contextlib.contextmanager
    def stopping(self, loop: Loop) -> Iterator[None]:
        """Lets signals stop a run that the current task drives; outside the main thread there are none."""
        driver = asyncio.current_task()
        if driver is None:
            raise RuntimeError("a run is driven by a task of an event loop")
        driven = _Driven(loop, driver)
        self._driven.append(driven)
        if len(self._driven) == 1:
            self._listen()
        try:
            yield
        finally:
            self._driven.remove(driven)
            if not self._driven:
                _ignore()

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, self._signalled)


def _ignore() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
