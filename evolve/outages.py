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
        probing: Whether a call is under way that will tell whether a model is back.
    """

    reason: str
    retry_in_s: float
    hopeless: bool = False
    probing: bool = False


class Roster(Protocol):
    """Knows which arms can be pulled: models go down, and become too dear for what is left."""

    def outage(self) -> Outage | None:
        """Why no arm can be pulled; None while one can."""
        ...

    def outage_of(self, arm: str) -> Outage | None:
        """Why an arm cannot be pulled; None when it can."""
        ...

    def healthy(self) -> bool:
        """Whether an arm can be pulled that is not on trial after its model was down."""
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

    def healthy(self) -> bool:
        return True

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
        self._held_since: dict[int, tuple[int, float]] = {}
        self._named: set[str] = set()
        self.reason = ""

    @property
    def n_held(self) -> int:
        """Steps that wait for their arms."""
        return len(self._held)

    @property
    def paused(self) -> bool:
        """Whether no arm could be pulled, and none has been pulled with success since."""
        return self._since is not None

    def hold(self, pending: PendingStep, error: ModelError) -> None:
        """Keeps a step open until its arm can be pulled again.

        Args:
            pending: The step.
            error: Why it could not go on.
        """
        step, arm, n_replies = pending.plan.step, pending.plan.arm, len(pending.replies)
        self._held.append(Held(pending, error))
        # A step that got a reply since it was held last waits for the next one from now on.
        if self._held_since.get(step, (-1, 0.0))[0] != n_replies:
            self._held_since[step] = (n_replies, self._clock())
        if arm not in self._named:
            logger.warning("step %d and others of %s wait until it is back: %s", step, arm, error)
        self._named.add(arm)

    def ended(self, step: int) -> None:
        """Takes note that a step has ended."""
        self._held_since.pop(step, None)

    def look(self) -> Weather:
        """Looks at the arms; the log says when an outage begins and when it is over."""
        outage = self.roster.outage()
        if outage is None:
            # A model that may be tried again has not answered yet: the outage ends when one does.
            if self.paused and self.roster.healthy():
                self._recover()
            return Weather.FAIR
        self.reason = outage.reason
        if self._since is None:
            self._since = self._clock()
            logger.warning("the run pauses, no arm can be pulled: %s", outage.reason)
        if outage.probing:
            return Weather.WAIT
        if outage.hopeless or self._clock() - self._since >= self._patience_s:
            return Weather.HOPELESS
        return Weather.WAIT

    def _recover(self) -> None:
        logger.warning("the run goes on")
        self._since = None
        self._named.clear()
        # While the run as a whole waited, none of its steps waited in vain.
        self._held_since = {step: (n_replies, self._clock()) for step, (n_replies, _) in self._held_since.items()}

    def back(self) -> list[PendingStep]:
        """Hands out the steps whose arms can be pulled again."""
        return [held.pending for held in self._take(lambda held: self.roster.outage_of(held.pending.plan.arm) is None)]

    def given_up(self) -> list[Held]:
        """Hands out the steps that were held for too long, and those whose arms waiting does not mend."""
        return self._take(self._in_vain)

    def _in_vain(self, held: Held) -> bool:
        outage = self.roster.outage_of(held.pending.plan.arm)
        if outage is None or outage.probing:
            return False
        waited = self._clock() - self._held_since[held.pending.plan.step][1]
        return outage.hopeless or (not self.paused and waited + outage.retry_in_s > self._give_up_s)

    def _take(self, wanted: Callable[[Held], bool]) -> list[Held]:
        taken = [held for held in self._held if wanted(held)]
        self._held = [held for held in self._held if held not in taken]
        return taken
