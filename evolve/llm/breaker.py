"""A circuit breaker: stops asking a model that does not answer, and finds out at little cost when it does again."""

from __future__ import annotations

from enum import StrEnum

from evolve.llm.base import Failure

#: Failures in a row, none of them of the request's making, after which a model is taken to be down.
_IN_A_ROW = 3
#: Requests that a model refuses before it has answered any, after which it is taken to refuse them all.
_REFUSED = 3
#: How much longer the first probe is put off after failures that somebody must mend.
_PERMANENT = 12
#: The longest that probes are put off, against the first time.
_LONGEST = 60
#: The server answered; it is this request that it would not take.
_FAULTS_OF_REQUESTS = frozenset((Failure.CONTEXT_OVERFLOW, Failure.BAD_REQUEST))


class State(StrEnum):
    """What a breaker does with the next call."""

    CLOSED = "closed"
    """Lets every call through."""
    OPEN = "open"
    """Lets none through until its cooldown is over, then one: the probe."""
    PROBING = "probing"
    """Lets none through until the probe has ended."""


class Breaker:
    """Opens after three transient failures in a row or one permanent one; closes when a probe succeeds.

    A bad request is its own fault where the model has answered others. Until it has answered one, three bad requests are taken
    for a setting that it never takes, which is permanent; an answer to any call, however old, ends that.

    The cooldown doubles with every failed probe, from ``cooldown_s`` (12 times that after a permanent failure) to 60 times it.

    Whoever makes a call enters with a *ticket* and reports how the call ended. Tickets of calls that were begun before the
    breaker last opened or closed say nothing about the model as it is now, so their reports are ignored: sixteen calls that
    fail together open it once.

    It reads no clock: seconds of a monotonic clock are handed in.
    """

    def __init__(self, cooldown_s: float = 5.0) -> None:
        """Starts closed.

        Args:
            cooldown_s: Seconds until the first probe, after failures that pass of themselves.
        """
        self._first_s = cooldown_s
        self.state = State.CLOSED
        self.failure: Failure | None = None
        self.reason = ""
        self._era = 0
        self._in_a_row = 0
        self._has_answered = False
        self._refused = 0
        self._cooldown_s = 0.0
        self._reopens_at = 0.0

    @property
    def permanent(self) -> bool:
        """Whether it is not closed because of something that waiting does not mend."""
        return self.failure is not None and not self.failure.transient

    def allows(self, now: float) -> bool:
        """Says whether a call would be let through."""
        return self.state is State.CLOSED or (self.state is State.OPEN and now >= self._reopens_at)

    def reopens_in_s(self, now: float) -> float:
        """Returns the seconds until a call may be let through; 0 when one may be, or when only a probe is waited for."""
        return max(0.0, self._reopens_at - now) if self.state is State.OPEN else 0.0

    def enter(self, now: float) -> int | None:
        """Lets a call through: a ticket, or None. Where the cooldown is over, the call is the probe."""
        if not self.allows(now):
            return None
        if self.state is State.OPEN:
            self._turn(State.PROBING)
        return self._era

    def holds(self, ticket: int) -> bool:
        """Says whether a ticket still lets its call through: nothing has changed since it was given."""
        return ticket == self._era

    def succeeded(self, ticket: int) -> None:
        """Reports that the model answered."""
        self._has_answered = True
        # Bad requests are refused at once, while the answer that shows them to be at fault may be minutes under way.
        if ticket == self._era or self.failure is Failure.BAD_REQUEST:
            self._close()

    def left(self, ticket: int) -> None:
        """Reports that a call was not made, or was cancelled: nothing is known, and another may probe."""
        if ticket == self._era and self.state is State.PROBING:
            self._turn(State.OPEN)

    def failed(self, ticket: int, failure: Failure, now: float, *, reason: str = "", retry_after_s: float = 0.0) -> None:
        """Reports a failure.

        Args:
            ticket: Of the call.
            failure: Why it failed; one that is the request's fault shows that the server is up.
            now: Seconds of the clock.
            reason: What a user is told about it.
            retry_after_s: The least that the server asks to wait.
        """
        if ticket != self._era:
            return
        if failure in _FAULTS_OF_REQUESTS and not self._refuses_all(failure):
            self._close()
            return
        self._in_a_row += 1
        if self.state is State.PROBING or not failure.transient or self._in_a_row >= _IN_A_ROW:
            self._open(failure, now, reason, retry_after_s)

    def _refuses_all(self, failure: Failure) -> bool:
        """Counts a bad request; says whether the model is taken to refuse whatever it is asked."""
        if failure is not Failure.BAD_REQUEST or self._has_answered:
            return False
        self._refused += 1
        return self._refused >= _REFUSED

    def _close(self) -> None:
        self._in_a_row = 0
        if self.state is not State.CLOSED:
            self._turn(State.CLOSED)
            self._cooldown_s, self.failure, self.reason = 0.0, None, ""

    def _open(self, failure: Failure, now: float, reason: str, retry_after_s: float) -> None:
        least = self._first_s if failure.transient else self._first_s * _PERMANENT
        self._cooldown_s = min(self._first_s * _LONGEST, max(least, 2 * self._cooldown_s))
        self._reopens_at = now + max(self._cooldown_s, retry_after_s)
        self.failure, self.reason = failure, reason or failure.value
        self._turn(State.OPEN)

    def _turn(self, state: State) -> None:
        self.state = state
        self._era += 1
        self._in_a_row = 0
