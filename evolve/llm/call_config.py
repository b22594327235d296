"""How long a call of a language model is tried, and what happens between the tries."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallConfig:
    """How long a call is tried.

    Attributes:
        give_up_s: Seconds since its first failure after which a call is given up; a network lost for a minute costs nothing,
            and hours that the machine slept while a call waited do not count.
        max_attempts: Calls sent for one answer.
        first_wait_s: Longest wait after the first failure; it doubles with every further one.
        max_wait_s: Longest of these waits, and the longest that a server's wish to wait is granted.
        cooldown_s: How long a model that is down is left alone at first; twice as long after each time that it still is, up
            to 60 times as long.
    """

    give_up_s: float = 180.0
    max_attempts: int = 12
    first_wait_s: float = 1.0
    max_wait_s: float = 60.0
    cooldown_s: float = 5.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be >= 1, got {self.max_attempts}")
        for name in ("give_up_s", "first_wait_s", "max_wait_s", "cooldown_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and >= 0, got {value}")
