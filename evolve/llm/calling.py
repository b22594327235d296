"""Calls a model so that no dollar is spent unseen: turns, reservations, retries, and a record of every call."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from evolve.archive.records import CallBegun, CallEnded
from evolve.budget import Dollars, Reservation
from evolve.errors import PutOff
from evolve.llm.base import CallFailed, Completion, Failure, LanguageModel, ModelRequest, TriedInVain, Usage
from evolve.llm.bills import Bill, Tariff, cancelled, expected_input, failed
from evolve.llm.breaker import Breaker, State
from evolve.llm.call_config import CallConfig
from evolve.llm.pacing import Lane, Slot
from evolve.llm.prices import Price
from evolve.llm.specs import ModelSpec
from evolve.llm.stopping import Stop

logger = logging.getLogger(__name__)

#: Seconds between two looks at whether somebody else's probe has ended.
_LOOK_AGAIN_S = 0.25


class Ledger(Protocol):
    """Where calls are written down.

    **Order.** ``began`` returns once the record is on disk; only then is the call sent. ``ended`` follows exactly once, in the
    same process, unless that is killed: a call that began and never ended may have cost all that it reserved.

    **Errors.** What ``began`` raises keeps the call from being sent.
    """

    def number(self, step: int, attempt: int) -> int:
        """Returns the number of an attempt's next call: one more than the last that it has on record, from 0."""
        ...

    def began(self, call: CallBegun) -> None:
        """Writes down a call that is about to be sent."""
        ...

    def ended(self, call: CallEnded) -> None:
        """Writes down how it ended."""
        ...


@dataclass(frozen=True, slots=True)
class Called:
    """An answer, and what it took to get it.

    Attributes:
        completion: The answer.
        usage: Its tokens; estimated where the server counts none.
        cost_usd: What all calls made for it cost, failed ones included.
        latency_s: What they lasted, without the waits between them.
        n_calls: How many there were.
    """

    completion: Completion
    usage: Usage
    cost_usd: float
    latency_s: float
    n_calls: int


@dataclass(slots=True)
class _Ask:
    """One request on its way to an answer.

    Attributes:
        number: Of its latest call.
        earlier: Calls sent before for the same answer.
        stuck_since: When it first failed, or first waited for the breaker.
        error: Its last failure.
    """

    request: ModelRequest
    step: int
    attempt: int
    number: int = 0
    earlier: int = 0
    n_calls: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0
    stuck_since: float | None = None
    error: CallFailed | None = None


class _Admission(NamedTuple):
    """Leave to send one call."""

    ticket: int
    slot: Slot
    reservation: Reservation


class Caller:
    """Calls one model for everybody who asks it.

    A call waits for the circuit breaker, for one of the model's ``concurrency`` turns, for its limits per minute, and for
    dollars to cover the most that it can cost; it is on disk before it is sent. Transient failures are tried again, at random
    moments of a doubling time. A failure that may have been charged counts as having cost all that was reserved.

    **Concurrency.** Any number of calls at once, in the tasks of one event loop. A call that is cancelled on its way leaves
    nothing behind; one that is cancelled after it was sent is recorded, and presumed to have cost all that was reserved.
    """

    def __init__(
        self,
        model: LanguageModel,
        spec: ModelSpec,
        price: Price | None,
        dollars: Dollars,
        ledger: Ledger,
        *,
        rng: np.random.Generator,
        config: CallConfig = CallConfig(),
        waits: bool = True,
        lane: Lane | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Makes no call.

        Args:
            model: Who is called.
            spec: Its limits and timeout, and what a call may cost where the price does not say.
            price: None where it is not known: ``call_usd`` of the spec, or nothing, is reserved then, and a call costs what the
                model reports, or what was reserved.
            dollars: What calls are paid from.
            ledger: Where they are written down.
            rng: Draws the waits between tries.
            config: How long a call is tried.
            waits: Whether a call waits while the model is down; False where something else can be done in the meantime.
            lane: Turns and limits that it shares with others; None makes its own, by the spec.
            clock: Returns seconds that never go back.
            sleep: Waits for seconds of that clock.
        """
        settings = spec.settings
        self._model = model
        self._tariff = Tariff(settings, price)
        self._dollars = dollars
        self._ledger = ledger
        self._rng = rng
        self._config = config
        self._waits = waits
        self._clock = clock
        self._sleep = sleep
        self._timeout_s = settings.timeout_s
        self.lane = lane or Lane(settings.concurrency, settings.per_minute, settings.tokens_per_minute, clock=clock, sleep=sleep)
        self._breaker = Breaker(config.cooldown_s)
        self._in_flight = 0
        self._stop = Stop(f"{model.name} is not asked any more: the run is stopping")

    @property
    def name(self) -> str:
        """The model's: ``PROVIDER/MODEL``."""
        return self._model.name

    async def close(self) -> None:
        """Closes the model's connections."""
        await self._model.close()

    def stop(self) -> None:
        """Begins no further call: whoever waits for one is told `Stopping`; calls that were sent are awaited."""
        self._stop.set()

    @property
    def available(self) -> bool:
        """Whether a call would be sent rather than held back by the breaker."""
        return self._breaker.allows(self._clock())

    @property
    def reopens_in_s(self) -> float:
        """Seconds until the breaker lets a call through; 0 when it does, or is about to know."""
        return self._breaker.reopens_in_s(self._clock())

    @property
    def reason(self) -> str:
        """Why it is not available; empty when nothing is wrong."""
        return self._breaker.reason

    @property
    def hopeless(self) -> bool:
        """Whether it is down because of something that waiting does not mend: key, name, account, or a setting that it never takes.

        Requests are refused faster than others are answered: those in flight may yet show that it takes some.
        """
        undecided = self._breaker.failure is Failure.BAD_REQUEST and self._in_flight > 0
        return self._breaker.permanent and not undecided and not self.probing

    @property
    def probing(self) -> bool:
        """Whether a call is under way that will tell whether the model is back."""
        return self._breaker.state is State.PROBING

    @property
    def healthy(self) -> bool:
        """Whether nothing is known against it: it is not down, and not on trial after it was."""
        return self._breaker.state is State.CLOSED

    @property
    def free(self) -> bool:
        """Whether its calls cost nothing, by the user's own word."""
        return self._tariff.free

    def worst_usd(self, request: ModelRequest) -> float:
        """Returns the most that one call can cost; 0 where neither the price nor ``call_usd`` says."""
        return self._tariff.most(request)

    async def call(self, request: ModelRequest, step: int, attempt: int) -> Called:
        """Gets an answer.

        Args:
            request: What is asked.
            step: The step that asks.
            attempt: Its attempt, from 0.

        Raises:
            CallFailed: If the model failed for good, or for longer than the config allows.
            PutOff: If the model is down, and the caller was told not to wait.
            Stopping: If `stop` came before a call was sent.
            BudgetExceeded: If the next call could cost more than is left.
        """
        # Calls that an earlier session, or this step before it was put off, has sent for the same answer count.
        ask = _Ask(request, step, attempt, earlier=self._ledger.number(step, attempt))
        while True:
            await self._wait_for_breaker(ask)
            try:
                async with self.lane.turns:
                    self._stop.check()
                    admission = await self._admit(request)
                    # None: the breaker shut while this call waited for its turn, or the run is stopping.
                    if admission is not None:
                        return await self._send(ask, admission)
            except CallFailed as error:
                await self._wait_after(error, ask)

    async def _pause(self, ask: _Ask, wait: float) -> None:
        """Waits, unless the run stops; what goes beyond it, when the machine slept or the process was stopped, uses up no patience.

        Raises:
            Stopping: If the run stops.
        """
        until = self._clock() + wait
        async with self._stop.ends():
            await self._sleep(wait)
        if ask.stuck_since is not None:
            ask.stuck_since += max(0.0, self._clock() - until)

    async def _wait_for_breaker(self, ask: _Ask) -> None:
        """Waits until the breaker would let a call through.

        Raises:
            CallFailed: If it is open for good, or for longer than the call is tried.
            PutOff: If calls do not wait.
        """
        while not self._breaker.allows(now := self._clock()):
            wait = self._breaker.reopens_in_s(now)
            if not self._waits:
                raise PutOff(str(ask.error or self._shut(wait)))
            if self._breaker.permanent and self._breaker.state is State.OPEN:
                raise self._shut(wait)
            if self._gives_up(ask, now, wait):
                raise ask.error or self._shut(wait)
            await self._pause(ask, wait or _LOOK_AGAIN_S)
        if ask.error is None:
            ask.stuck_since = None  # what it waits for from here on, a turn or dollars, is no failure

    def _shut(self, wait: float) -> CallFailed:
        """Makes the error of a call that is not sent because others failed."""
        failure = self._breaker.failure or Failure.UNREACHABLE
        until = f"for {wait:.0f} s" if wait >= 1 else "now"
        return CallFailed(f"{self._model.name} is not asked {until}: {self._breaker.reason}", failure, wait)

    async def _wait_after(self, error: CallFailed, ask: _Ask) -> None:
        """Waits before the next try, or raises the failure where there is none."""
        ask.error = error
        config, now = self._config, self._clock()
        longest = min(config.max_wait_s, config.first_wait_s * 2.0 ** min(ask.n_calls - 1, 60))
        # Full jitter, on top of what the server asks for: those who were refused together do not come back together.
        wait = min(max(0.0, error.retry_after_s or 0.0), config.max_wait_s) + float(self._rng.uniform(0.0, longest))
        if not error.failure.transient or self._gives_up(ask, now, wait):
            raise error
        if ask.earlier + ask.n_calls >= config.max_attempts:
            raise TriedInVain(str(error), error.failure, error.retry_after_s) from error
        logger.warning("%s: %s; tried again in %.1f s (step %d, call %d)", self._model.name, error, wait, ask.step, ask.n_calls)
        await self._pause(ask, wait)

    def _gives_up(self, ask: _Ask, now: float, wait: float) -> bool:
        """Says whether a wait would outlast the patience of a call, which counts from now if nothing has gone wrong yet."""
        if ask.stuck_since is None:
            ask.stuck_since = now
        return now + wait - ask.stuck_since > self._config.give_up_s

    async def _admit(self, request: ModelRequest) -> _Admission | None:
        """Waits for limits and dollars; None when the call must not be sent, or no longer.

        Raises:
            Stopping: If the run stops.
            BudgetExceeded: If the call could cost more than is left.
        """
        ticket = self._breaker.enter(self._clock())
        if ticket is None:
            return None
        slot: Slot | None = None
        try:
            async with self._stop.ends():
                slot = await self.lane.pace.enter(expected_input(request) + request.max_tokens)
                reservation = await self._dollars.reserve(self.worst_usd(request))
        except BaseException:  # cancelled, stopped or over budget: another may probe, and the minute has room for it
            self._breaker.left(ticket)
            if slot is not None:
                self.lane.pace.leave(slot)
            raise
        admission = _Admission(ticket, slot, reservation)
        # A run may stop between the moment in which dollars are granted and that in which this task is told.
        if self._breaker.holds(ticket) and not self._stop.is_set:
            return admission
        self._give_back(admission)
        return None

    def _give_back(self, admission: _Admission) -> None:
        """Undoes an admission that no call was sent for."""
        self._breaker.left(admission.ticket)
        self.lane.pace.leave(admission.slot)
        admission.reservation.release()

    async def _send(self, ask: _Ask, admission: _Admission) -> Called:
        """Makes one call and writes it down."""
        try:
            ask.number = self._ledger.number(ask.step, ask.attempt)
            self._ledger.began(CallBegun(ask.step, ask.attempt, ask.number, self._model.name, admission.reservation.usd))
        except BaseException:
            self._give_back(admission)
            raise
        begun = self._clock()
        try:
            completion = await self._complete(ask.request)
        except CallFailed as error:
            retry_after_s = min(max(0.0, error.retry_after_s or 0.0), self._config.max_wait_s)
            reason = f"{error.failure.value}: {error}"
            self._breaker.failed(admission.ticket, error.failure, self._clock(), reason=reason, retry_after_s=retry_after_s)
            self._end(ask, admission, begun, failed(error, admission.reservation.usd))
            raise
        except BaseException as error:
            # Cancelled, or a client that breaks its contract: either way nobody saw how the call ended.
            self._breaker.left(admission.ticket)
            self._end(ask, admission, begun, cancelled(error, admission.reservation.usd))
            raise
        self._breaker.succeeded(admission.ticket)
        bill = self._tariff.answered(ask.request, completion, admission.reservation.usd)
        admission.slot.tokens = bill.usage.input + bill.usage.output
        self._end(ask, admission, begun, bill)
        return Called(completion, bill.usage, ask.cost_usd, ask.latency_s, ask.n_calls)

    async def _complete(self, request: ModelRequest) -> Completion:
        """Asks the model; a client whose own timeout does not hold, such as against a dribble of bytes, is stopped here."""
        self._in_flight += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._model.complete(request)
        except TimeoutError as error:
            message = f"{self._model.name} did not answer within {self._timeout_s:g} s; allow more with timeout_s="
            raise CallFailed(message, Failure.TIMED_OUT) from error
        finally:
            self._in_flight -= 1

    def _end(self, ask: _Ask, admission: _Admission, begun: float, bill: Bill) -> None:
        """Writes down how a call ended and settles what it cost."""
        latency_s = max(0.0, self._clock() - begun)
        record = CallEnded(
            step=ask.step,
            attempt=ask.attempt,
            number=ask.number,
            outcome=bill.outcome,
            tokens_in=bill.usage.input,
            tokens_cached=bill.usage.cached,
            tokens_out=bill.usage.output,
            tokens_reasoning=bill.usage.reasoning,
            usd=bill.usd,
            latency_s=latency_s,
            presumed=bill.presumed,
            error=bill.error,
        )
        ask.n_calls += 1
        ask.cost_usd += bill.usd
        ask.latency_s += latency_s
        try:
            self._ledger.ended(record)
        finally:
            # Whatever the disk says, the money is gone, and others may wait for what is left of it.
            admission.reservation.settle(bill.usd)
