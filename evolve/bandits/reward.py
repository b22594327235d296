"""What a finished step earns its arm."""

from __future__ import annotations

import bisect
from collections import deque


class PercentileReward:
    """Turns improvements over the parent into rewards in [0, 1] that do not depend on the objective's scale.

    No improvement, and a failure, are 0. An improvement is its rank among the latest improvements, divided by their
    number: the largest seen is 1, however small all of them have become.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def of(self, improvement: float | None) -> float:
        """Rewards a finished step and remembers its improvement.

        Args:
            improvement: Child's fitness less the parent's, larger is better; None for a step that failed.
        """
        if improvement is None or improvement <= 0:
            return 0.0
        bisect.insort(self._sorted, improvement)
        self._recent.append(improvement)
        if len(self._recent) > self._window:
            self._sorted.pop(bisect.bisect_left(self._sorted, self._recent.popleft()))
        return bisect.bisect_right(self._sorted, improvement) / len(self._sorted)
