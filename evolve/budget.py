"""What a run may spend: steps and seconds."""

from __future__ import annotations

import time
from collections.abc import Callable


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
