"""What a bandit is, and what it may know when it chooses.

A bandit is a fold over finished steps, like a population: it sees rewards in the order of the archive's versions and
draws chance from the generator it is handed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np


class Situation(NamedTuple):
    """What is the case at the moment of a choice; nothing of it is kept.

    Attributes:
        in_flight: Pulls begun and not finished, per arm; arms left out have none.
        available: Arms that can be pulled; None is all.
        usd_per_step: Dollars left per step left, after what pulls in flight are expected to cost; None without a dollar budget.
    """

    in_flight: Mapping[str, int] = MappingProxyType({})
    available: frozenset[str] | None = None
    usd_per_step: float | None = None


class Bandit(Protocol):
    """Chooses among named arms by the rewards and costs that earlier pulls brought.

    **Order of calls.** `update` once per finished step, in the order of the archive's versions. `choose` at any time, any
    number of times between updates: many pulls may be in flight. State changes in `update` alone, so the same updates give
    the same choices from the same generator and situation; this is how a run is resumed.

    **Rewards** lie in [0, 1]; a failed step is a reward of 0, never left out.

    **Budget.** With `Situation.usd_per_step`, choices cost no more than that on average, as far as costs are known: the mean
    of an arm's finished pulls. Where even the cheapest available arm costs more, it is chosen.

    **Threads.** Calls are made from one thread.
    """

    def choose(self, rng: np.random.Generator, situation: Situation = Situation()) -> str:
        """Names the arm to pull.

        Raises:
            ValueError: If nothing is available, or the situation names an arm that is unknown.
        """
        ...

    def update(self, arm: str, reward: float, cost_usd: float = 0.0) -> None:
        """Takes note of a finished pull.

        Raises:
            ValueError: If the arm is unknown, the reward lies outside [0, 1], or the cost is negative or not finite. Nothing
                is noted then.
        """
        ...

    def pulls(self) -> Mapping[str, int]:
        """Finished pulls per arm."""
        ...
