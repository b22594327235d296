"""What a run does while none of its arms can be pulled: it waits, tries again, and gives up when its patience ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

logger = logging.getLogger(__name__)


class Outage(NamedTuple):
    """No arm can be pulled.

    Attributes:
        reason: Why, arm by arm.
        retry_in_s: When the first may be tried again.
        hopeless: Whether waiting will not mend it: keys, names of models, money.
    """

    reason: str
    retry_in_s: float
    hopeless: bool


class Roster(Protocol):
    """Knows which arms can be pulled: models go down, and become too dear for what is left."""

    def outage(self) -> Outage | None:
        """Why no arm can be pulled; None while one can."""
        ...

    def put_aside(self, arm: str) -> bool:
        """Puts an arm aside whose next call does not fit the budget; returns whether any paid arm is left."""
        ...

    def stop(self) -> None:
        """Begins no further call, and ends the waits between calls; those that were sent are awaited."""
        ...


class AllReady:
    """The roster of arms that can always be pulled."""

    def outage(self) -> Outage | None:
        return None

    def put_aside(self, arm: str) -> bool:
        return False

    def stop(self) -> None:
        pass


class Weather(Enum):
    """How things stand with the arms."""

    FAIR = "fair"
    """At least one can be pulled."""
    WAIT = "wait"
    """None can; one may be tried again later."""
    HOPELESS = "hopeless"
    """None can, and waiting will not help, or has been tried for long enough."""


class Patience:
    """Watches outages, and says when waiting has been tried for long enough."""

    def __init__(self, roster: Roster, patience_s: float, clock: Callable[[], float]) -> None:
        """Watches from now on.

        Args:
            roster: Which arms can be pulled.
            patience_s: The longest outage that is waited for.
            clock: Returns seconds that never go back.
        """
        self._roster = roster
        self._patience_s = patience_s
        self._clock = clock
        self._since: float | None = None
        self.reason = ""

    def recovered(self) -> None:
        """Takes note that a step has ended: some arm has been pulled with success, and an outage is over."""
        if self._since is not None:
            logger.warning("the run goes on")
        self._since = None

    def look(self) -> Weather:
        """Looks at the arms; the log says when an outage begins."""
        outage = self._roster.outage()
        if outage is None:
            # A model that may be tried again has not answered yet: the outage ends with the next step that does.
            return Weather.FAIR
        self.reason = outage.reason
        if self._since is None:
            self._since = self._clock()
            logger.warning("the run pauses, no arm can be pulled: %s", outage.reason)
        if outage.hopeless or self._clock() - self._since >= self._patience_s:
            return Weather.HOPELESS
        return Weather.WAIT
