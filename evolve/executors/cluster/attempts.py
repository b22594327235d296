"""The books of a controller: which attempts at evaluations are under way on a cluster, and what became of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from evolve.executors.cluster.orders import Refusal


class Cause(StrEnum):
    """Why an attempt was lost."""

    WORKER = "worker"
    """The process that it ran in ended."""
    NODE = "node"
    """The node that it ran on is gone, or its place there did not get ready."""
    PRESSURE = "pressure"
    """The node was short of memory or disk, or the object store was full."""
    REFUSED = "refused"
    """The node does not evaluate."""
    OVERDUE = "overdue"
    """Nothing was heard of it for longer than any evaluation takes."""
    LINK = "link"
    """The connection with the cluster was lost."""


@dataclass(frozen=True, slots=True)
class Loss:
    """An attempt that came to nothing, through no fault that is known to be the program's.

    Attributes:
        cause: Why.
        why: The same for people.
        node: Where; empty where that is not known.
        host: The node's name.
        refusal: Why the node refused, where it did.
    """

    cause: Cause
    why: str
    node: str = ""
    host: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What an attempt came to: a packed evaluation, and where it was made."""

    content: bytes
    host: str


@dataclass(slots=True)
class Attempt:
    """One attempt.

    Attributes:
        number: Identifies it; late words of one that was given up find nobody.
        sent_at: On the event loop's clock.
        ended: What became of it.
        placed_at: When it was heard to have found a place; None while it waits for one.
        started_at: When it was heard to have begun; None while its place gets ready.
        node: Where it runs.
        host: The node's name.
    """

    number: int
    sent_at: float
    ended: asyncio.Future[Answer | Loss]
    placed_at: float | None = None
    started_at: float | None = None
    node: str = ""
    host: str = ""


@dataclass(slots=True)
class Attempts:
    """All attempts that are under way.

    Attributes:
        deadline_s: How long one may take once it has begun.
        ready_s: How long a place may take to get ready.
        unheard_s: How long one may wait for a place while later ones find theirs.
    """

    deadline_s: float
    ready_s: float
    unheard_s: float
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _open: dict[int, Attempt] = field(default_factory=dict)
    _latest_placed: int = -1

    def begin(self) -> Attempt:
        """Opens the books of a new attempt."""
        loop = asyncio.get_running_loop()
        attempt = Attempt(next(self._numbers), loop.time(), loop.create_future())
        self._open[attempt.number] = attempt
        return attempt

    def end(self, attempt: Attempt) -> None:
        """Closes the books of an attempt; what is heard of it later is ignored."""
        self._open.pop(attempt.number, None)

    def placed(self, event: Mapping[str, Any]) -> Attempt | None:  # Any: plain data
        """Takes down where an attempt found a place; returns it if it is one of ours."""
        attempt = self._open.get(event["attempt"])
        if attempt is not None:
            attempt.placed_at = asyncio.get_running_loop().time()
            attempt.node, attempt.host = event["node"], event["host"]
            self._latest_placed = max(self._latest_placed, attempt.number)
        return attempt

    def started(self, event: Mapping[str, Any]) -> bool:  # Any: plain data
        """Takes down that an attempt has begun, and where; returns whether it is one of ours."""
        attempt = self.placed(event)
        if attempt is None:
            return False
        attempt.started_at = attempt.placed_at
        return True

    def answered(self, event: Mapping[str, Any]) -> None:  # Any: plain data
        """Takes down an answer; of several the first counts."""
        attempt = self._open.get(event["attempt"])
        if attempt is not None:
            _settle(attempt, Answer(event["answer"], attempt.host))

    def lost(self, event: Mapping[str, Any]) -> None:  # Any: plain data
        """Takes down that an attempt was lost."""
        attempt = self._open.get(event["attempt"])
        if attempt is not None:
            cause = Cause(event["cause"])
            if cause is Cause.WORKER and attempt.started_at is None:
                cause = Cause.NODE  # no program had been near it
            refusal = Refusal(event["refusal"]) if event.get("refusal") else None
            host = event.get("host") or attempt.host
            _settle(attempt, Loss(cause, event["why"], event["node"], host, refusal))

    def lose_all(self, why: str) -> None:
        """Takes down that the connection was lost, and every attempt with it."""
        for attempt in self._open.values():
            _settle(attempt, Loss(Cause.LINK, why))

    def overdue(self) -> list[Attempt]:
        """Gives up the attempts of which nothing was heard for too long, and returns them."""
        now = asyncio.get_running_loop().time()
        late = []
        for attempt in self._open.values():
            loss = None if attempt.ended.done() else self._late(attempt, now)
            if loss is not None:
                _settle(attempt, loss)
                late.append(attempt)
        return late

    def waiting(self) -> int:
        """How many wait for a place."""
        return sum(attempt.placed_at is None for attempt in self._open.values())

    def _late(self, attempt: Attempt, now: float) -> Loss | None:
        """What becomes of an attempt of which nothing was heard for too long; None of one that has time."""
        if attempt.started_at is not None:
            why = f"nothing was heard of it for {self.deadline_s:g} s"
            late = now - attempt.started_at > self.deadline_s
            return Loss(Cause.OVERDUE, why, attempt.node, attempt.host) if late else None
        if attempt.placed_at is not None:
            why = f"its place was not ready within {self.ready_s:g} s"
            late = now - attempt.placed_at > self.ready_s
            return Loss(Cause.NODE, why, attempt.node, attempt.host) if late else None
        # Ray gives places first come, first served, but for attempts that it has sent to a node that is cut off.
        late = attempt.number < self._latest_placed and now - attempt.sent_at > self.unheard_s
        return Loss(Cause.LINK, "it waited for a place while later ones found theirs") if late else None


def _settle(attempt: Attempt, ended: Answer | Loss) -> None:
    if not attempt.ended.done():
        attempt.ended.set_result(ended)
