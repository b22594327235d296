"""Which results a step may see: what makes a run independent of how many workers it has.

An archive's *version* is the number of its last addition; the initial program makes it 0. A step is planned at a version,
its children are screened at a version, and its own addition makes the next one. An order decides which.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol


class Order(Protocol):
    """Decides when a step is planned, what its screens see, and which finished step is added next."""

    def may_plan(self, step: int, version: int, held: int = 0) -> bool:
        """Says whether the next step to plan may be planned at this version.

        Args:
            step: The next step to plan.
            version: Of the archive.
            held: How many of the open steps wait for a model that is down.
        """
        ...

    def screen_version(self, step: int, attempt: int, version: int) -> int:
        """Returns the version that a screen sees; above ``version``, it waits until that is reached."""
        ...

    def next_addition(self, version: int, finished: Collection[int]) -> int | None:
        """Picks which of the finished steps to add next; None to wait."""
        ...


class Strict:
    """Step *i* sees exactly the results of steps up to *i - lag*, added in step order, with one worker or sixteen."""

    def __init__(self, lag: int) -> None:
        if lag < 1:
            raise ValueError(f"lag must be >= 1, got {lag}")
        self._lag = lag

    def may_plan(self, step: int, version: int, held: int = 0) -> bool:
        return version >= self._seen(step)

    def screen_version(self, step: int, attempt: int, version: int) -> int:
        return self._seen(step)

    def next_addition(self, version: int, finished: Collection[int]) -> int | None:
        return version + 1 if version + 1 in finished else None

    def _seen(self, step: int) -> int:
        return max(0, step - self._lag)


class Asap:
    """A step sees whatever is there; the versions it saw are recorded, which makes the run replayable."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        """Takes how many steps may be under way at once; asked for at each plan, and at least 1."""
        self._in_flight = in_flight

    def may_plan(self, step: int, version: int, held: int = 0) -> bool:
        return step - held - version <= self._in_flight()

    def screen_version(self, step: int, attempt: int, version: int) -> int:
        return version

    def next_addition(self, version: int, finished: Collection[int]) -> int | None:
        return min(finished, default=None)


class Recorded:
    """Repeats the order of a recorded run: the same plans, screens and additions at the same versions."""

    def __init__(self, plans: Mapping[int, int], screens: Mapping[tuple[int, int], int], additions: Iterable[int]) -> None:
        """Takes the record.

        Args:
            plans: Version that each step's plan saw.
            screens: Version that each (step, attempt)'s screen saw.
            additions: Steps in the order of their additions, the initial program's 0 first.
        """
        self._plans = dict(plans)
        self._screens = dict(screens)
        self._open = dict(screens)
        self._additions = list(additions)

    def may_plan(self, step: int, version: int, held: int = 0) -> bool:
        return step in self._plans and version >= self._plans[step]

    def screen_version(self, step: int, attempt: int, version: int) -> int:
        # An attempt that the record does not have is a difference; the replay shows it, so it must not stop here.
        seen = self._screens.get((step, attempt), version)
        if seen <= version:
            self._open.pop((step, attempt), None)
        return seen

    def next_addition(self, version: int, finished: Collection[int]) -> int | None:
        if version + 1 >= len(self._additions):
            return None
        step = self._additions[version + 1]
        # Screens that saw this version come first: the one after would show them too much. A step that is already
        # finished will not screen again, whatever the record says.
        waiting = any(seen <= version and owner not in finished for (owner, _), seen in self._open.items())
        return step if step in finished and not waiting else None
