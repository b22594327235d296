"""What a run does while arms cannot be pulled: it goes on with the others, waits while there are none, and gives up in the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

from evolve.archive.records import PendingStep
from evolve.errors import ModelError

logger = logging.getLogger(__name__)


class Outage(NamedTuple):
    """Arms that cannot be pulled.

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

    def outage_of(self, arm: str) -> Outage | None:
        """Why an arm cannot be pulled; None when it can."""
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

    def outage_of(self, arm: str) -> Outage | None:
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


class Held(NamedTuple):
    """A step whose model was down when it was asked.

    Attributes:
        pending: The step, still open.
        error: What its model said, or why it was not asked.
    """

    pending: PendingStep
    error: ModelError


class Outages:
    """Watches the arms: holds the steps of those that are down, and says when waiting has been tried for long enough.

    A step that is held takes no place of those that are asked. It goes on when its arm can be pulled again, and is given up
    when that takes too long while other arms can be pulled; while none can, the run as a whole waits.
    """

    def __init__(
        self,
        roster: Roster | None = None,
        *,
        patience_s: float = 600.0,
        give_up_s: float = 180.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watches from now on.

        Args:
            roster: Which arms can be pulled; None is all of them, always.
            patience_s: The longest outage of all arms that is waited for, before the run is given up.
            give_up_s: The longest outage of one arm that is waited for, before its steps are given up.
            clock: Returns seconds that never go back.
        """
        self.roster = roster or AllReady()
        self._patience_s = patience_s
        self._give_up_s = give_up_s
        self._clock = clock
        self._since: float | None = None
        self._held: list[Held] = []
        self._held_since: dict[int, float] = {}
        self.reason = ""

    @property
    def n_held(self) -> int:
        """Steps that wait for their arms."""
        return len(self._held)

    def hold(self, pending: PendingStep, error: ModelError) -> None:
        """Keeps a step open until its arm can be pulled again.

        Args:
            pending: The step.
            error: Why it could not go on.
        """
        self._held.append(Held(pending, error))
        self._held_since.setdefault(pending.plan.step, self._clock())

    def ended(self, step: int, *, answered: bool) -> None:
        """Takes note that a step has ended.

        Args:
            step: Which.
            answered: Whether an arm was pulled with success, which ends an outage.
        """
        self._held_since.pop(step, None)
        if answered:
            if self._since is not None:
                logger.warning("the run goes on")
            self._since = None

    def look(self) -> Weather:
        """Looks at the arms; the log says when an outage begins."""
        outage = self.roster.outage()
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

    def back(self) -> list[PendingStep]:
        """Hands out the steps whose arms can be pulled again."""
        return [held.pending for held in self._take(lambda held: self.roster.outage_of(held.pending.plan.arm) is None)]

    def given_up(self) -> list[Held]:
        """Hands out the steps that were held for too long, and those whose arms waiting does not mend."""
        return self._take(self._in_vain)

    def _in_vain(self, held: Held) -> bool:
        outage = self.roster.outage_of(held.pending.plan.arm)
        waited = self._clock() - self._held_since[held.pending.plan.step]
        return outage is not None and (outage.hopeless or waited + outage.retry_in_s > self._give_up_s)

    def _take(self, wanted: Callable[[Held], bool]) -> list[Held]:
        taken = [held for held in self._held if wanted(held)]
        self._held = [held for held in self._held if held not in taken]
        return taken
