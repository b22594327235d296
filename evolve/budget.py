"""What a run may spend: steps, seconds and dollars."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from evolve.errors import BudgetExceeded

logger = logging.getLogger(__name__)

#: Dollars are kept as whole nano-dollars: integers add up exactly in any order, and the cheapest token costs more than one.
_NANO = 1_000_000_000


class Budget:
    """Keeps count of one session's seconds on top of what earlier sessions spent."""

    def __init__(
        self, steps: int, max_seconds: float | None, *, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Starts the clock.

        Args:
            steps: Attempts to make a child in the whole run; the initial program is not counted.
            max_seconds: Wall-clock seconds of the whole run; None is no limit.
            spent_s: Seconds of earlier sessions.
            clock: Returns seconds that never go back.
        """
        self.steps = steps
        self.max_seconds = max_seconds
        self._clock = clock
        self._start = clock() - spent_s

    @property
    def seconds(self) -> float:
        """Wall-clock seconds spent, earlier sessions included."""
        return self._clock() - self._start

    @property
    def left_s(self) -> float | None:
        """Seconds until time is up, never negative; None without a limit."""
        return None if self.max_seconds is None else max(0.0, self.max_seconds - self.seconds)

    def allows(self, step: int) -> bool:
        """Says whether a step may be begun."""
        return step <= self.steps and self.left_s != 0.0


def _nano(usd: float) -> int:
    """Rounds dollars to nano-dollars; never turns a smaller amount into a larger one than a larger amount's."""
    if not (math.isfinite(usd) and usd >= 0):
        raise ValueError(f"an amount of dollars must be finite and >= 0, got {usd}")
    return round(usd * _NANO)


class _Waiter(NamedTuple):
    """A call that waits for dollars."""

    amount: int
    granted: asyncio.Future[None]


class Dollars:
    """Keeps spending below a cap while calls are in flight.

    A call reserves the most that it can cost before it is made, and settles what it did cost afterwards. The sum of what is
    spent and what is reserved never exceeds the cap, so spending cannot either.

    **Order.** First come, first served: a small amount never overtakes a large one that waits, which would otherwise starve.

    **Concurrency.** For the tasks of one event loop. Cancelling a task that waits leaves nothing behind.
    """

    def __init__(self, cap: float | None, spent: float = 0.0) -> None:
        """Starts a count.

        Args:
            cap: Dollars of the whole run; None is no limit.
            spent: Dollars of earlier sessions.

        Raises:
            ValueError: If an amount is negative or not finite.
        """
        self.cap = cap
        self._cap = None if cap is None else _nano(cap)
        self._spent = _nano(spent)
        self._reserved = 0
        self._waiting: deque[_Waiter] = deque()

    @property
    def spent(self) -> float:
        """Dollars settled, earlier sessions included."""
        return self._spent / _NANO

    @property
    def reserved(self) -> float:
        """Dollars that calls in flight may still cost."""
        return self._reserved / _NANO

    @property
    def left(self) -> float | None:
        """Dollars neither spent nor reserved, never negative; None without a cap."""
        return None if self._cap is None else max(0, self._cap - self._spent - self._reserved) / _NANO

    async def reserve(self, usd: float) -> Reservation:
        """Sets dollars aside, once those who came before are served and other reservations leave enough.

        Args:
            usd: The most that a call can cost.

        Raises:
            BudgetExceeded: If the amount would not fit even with nothing else in flight.
            ValueError: If the amount is negative or not finite.
        """
        amount = _nano(usd)
        if self._hopeless(amount):
            raise self._exceeded(amount)
        if not self._waiting and self._fits(amount):
            self._reserved += amount
        else:
            await self._turn(amount)
        return Reservation(self, amount)

    async def _turn(self, amount: int) -> None:
        """Waits until `_serve` has reserved an amount for this task."""
        waiter = _Waiter(amount, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.granted.cancelled() and waiter.granted.exception() is None:
                # Granted and cancelled before this task came to run: nobody will ever settle it.
                self._reserved -= amount
            self._serve()
            raise

    def _serve(self) -> None:
        """Grants what fits, in order, and refuses what can no longer fit wherever it stands in the queue."""
        for waiter in [waiter for waiter in self._waiting if self._hopeless(waiter.amount)]:
            self._waiting.remove(waiter)
            if not waiter.granted.done():
                waiter.granted.set_exception(self._exceeded(waiter.amount))
        while self._waiting and self._fits(self._waiting[0].amount):
            waiter = self._waiting.popleft()
            if not waiter.granted.done():
                self._reserved += waiter.amount
                waiter.granted.set_result(None)

    def _fits(self, amount: int) -> bool:
        return self._cap is None or self._spent + self._reserved + amount <= self._cap

    def _hopeless(self, amount: int) -> bool:
        return self._cap is not None and self._spent + amount > self._cap

    def _exceeded(self, amount: int) -> BudgetExceeded:
        return BudgetExceeded(
            f"the next call may cost up to ${amount / _NANO:.4f}, which is more than what is left of the budget: "
            f"${self.spent:.4f} of ${self.cap or 0:.4f} is spent; allow more dollars, a cheaper model or fewer max_tokens"
        )

    def _end(self, reserved: int, spent: int) -> None:
        """Turns a reservation into spending; called by `Reservation` alone."""
        self._reserved -= reserved
        self._spent += spent
        self._serve()


class Reservation:
    """Dollars set aside for one call, until they are settled or released."""

    def __init__(self, dollars: Dollars, amount: int) -> None:
        self._dollars = dollars
        self._amount = amount
        self._open = True

    @property
    def usd(self) -> float:
        """Dollars set aside."""
        return self._amount / _NANO

    def settle(self, actual: float) -> None:
        """Records what the call cost and frees the rest.

        More than was reserved is recorded in full, for it is spent, and logged where there is a cap that it may break.

        Args:
            actual: Dollars.

        Raises:
            RuntimeError: If the reservation is settled or released already.
            ValueError: If the amount is negative or not finite.
        """
        spent = _nano(actual)
        if not self._open:
            raise RuntimeError(f"a reservation of ${self.usd:.4f} was settled or released twice")
        if spent > self._amount and self._dollars.cap is not None:
            logger.warning("a call cost $%.6f although at most $%.6f was reserved for it", actual, self.usd)
        self._open = False
        self._dollars._end(self._amount, spent)

    def release(self) -> None:
        """Frees everything: the call was never made. Does nothing to one that is settled or released."""
        if self._open:
            self._open = False
            self._dollars._end(self._amount, 0)
