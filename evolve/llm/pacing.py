"""Keeps to a provider's limits of calls and tokens in any minute."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

from evolve.llm.specs import ModelSettings

_WINDOW_S = 60.0
#: Longest sleep before looking again: an answer shorter than expected makes room before anything leaves the window.
_LOOK_AGAIN_S = 1.0


@dataclass(slots=True, eq=False)
class Slot:
    """One call in the window.

    Attributes:
        at: When it was let through.
        tokens: Asked and answered: an estimate until the call has ended and whoever made it writes down what it was.
    """

    at: float
    tokens: int


class Pace:
    """A sliding window over the calls of one model.

    In no stretch of a minute are more calls let through, or more tokens as far as known, than the limits say. A call that
    alone exceeds the limit of tokens is let through once the window is empty: the provider may take it.

    **Order.** First come, first served. **Concurrency.** For the tasks of one event loop; waiting can be cancelled.
    """

    def __init__(
        self,
        per_minute: int | None,
        tokens_per_minute: int | None,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Starts with an empty window.

        Args:
            per_minute: Calls in any minute; None is no limit.
            tokens_per_minute: Tokens in any minute; None is no limit.
            clock: Returns seconds that never go back.
            sleep: Waits for seconds of that clock.
        """
        self.per_minute = per_minute
        self.tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._sleep = sleep
        self._window: deque[Slot] = deque()
        self._turn = asyncio.Lock()

    async def enter(self, tokens: int) -> Slot:
        """Waits until a call fits the limits.

        Args:
            tokens: What it is expected to ask and answer.
        """
        async with self._turn:
            while (wait := self._wait_s(tokens)) > 0:
                await self._sleep(min(wait, _LOOK_AGAIN_S))
            slot = Slot(self._clock(), tokens)
            if self.per_minute is not None or self.tokens_per_minute is not None:
                self._window.append(slot)
            return slot

    def leave(self, slot: Slot) -> None:
        """Takes out a call that was not made after all."""
        if slot in self._window:
            self._window.remove(slot)

    def _wait_s(self, tokens: int) -> float:
        """Returns the seconds until enough calls have left the window; 0 when a call fits."""
        now = self._clock()
        while self._window and self._window[0].at + _WINDOW_S <= now:
            self._window.popleft()
        calls, used, fits_at = len(self._window), sum(slot.tokens for slot in self._window), now
        for slot in self._window:
            if self._fits(calls, used, tokens):
                break
            calls, used, fits_at = calls - 1, used - slot.tokens, slot.at + _WINDOW_S
        return fits_at - now

    def _fits(self, calls: int, used: int, tokens: int) -> bool:
        return (self.per_minute is None or calls < self.per_minute) and (
            self.tokens_per_minute is None or used + tokens <= self.tokens_per_minute
        )


class Lane:
    """What all who call one model at one server with one key share: its turns, and its limits of calls and tokens in any minute.

    Attributes:
        concurrency: Calls in flight at once.
        turns: Held by each of them.
        pace: Asked before each of them.
    """

    def __init__(
        self,
        concurrency: int,
        per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Starts with no call in flight.

        Args:
            concurrency: Calls in flight at once.
            per_minute: Calls in any minute; None is no limit.
            tokens_per_minute: Tokens in any minute; None is no limit.
            clock: Returns seconds that never go back.
            sleep: Waits for seconds of that clock.
        """
        self.concurrency = concurrency
        self.turns = asyncio.Semaphore(concurrency)
        self.pace = Pace(per_minute, tokens_per_minute, clock=clock, sleep=sleep)

    @classmethod
    def of(cls, settings: Sequence[ModelSettings]) -> Self:
        """Makes the lane of SPECs that share one: the least of their limits is kept."""
        return cls(
            min(each.concurrency for each in settings),
            min((each.per_minute for each in settings if each.per_minute is not None), default=None),
            min((each.tokens_per_minute for each in settings if each.tokens_per_minute is not None), default=None),
        )
