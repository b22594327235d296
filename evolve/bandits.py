"""Which arm to pull next.

A bandit is a fold over finished steps, like a population: it sees rewards in the order of the archive's versions and
draws chance from the generator it is handed.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Bandit(Protocol):
    """Chooses among named arms by the rewards that earlier pulls brought.

    **Order of calls.** `update` once per finished step, in the order of the archive's versions. `choose` at any time, any
    number of times between updates: many pulls may be in flight.

    **Rewards** lie in [0, 1]; a failed step is a reward of 0, never left out.
    """

    def choose(self, rng: np.random.Generator) -> str:
        """Names the arm to pull."""
        ...

    def update(self, arm: str, reward: float) -> None:
        """Takes note of a finished pull.

        Raises:
            ValueError: If the arm is unknown or the reward lies outside [0, 1].
        """
        ...

    def pulls(self) -> Mapping[str, int]:
        """Finished pulls per arm."""
        ...


@dataclass(frozen=True, slots=True)
class BanditConfig:
    """How arms are chosen.

    Attributes:
        exploration: Weight of UCB1's confidence term; 0 is greedy.
        reward_window: Improvements that a new one is ranked among.
    """

    # sqrt(2) is Auer's constant for rewards spread over [0, 1]; rewards of rare improvements lie near 0, where it would
    # pull all arms alike.
    exploration: float = 0.35
    reward_window: int = 200

    def __post_init__(self) -> None:
        if self.exploration < 0:
            raise ValueError(f"exploration must be >= 0, got {self.exploration}")
        if self.reward_window < 1:
            raise ValueError(f"reward_window must be >= 1, got {self.reward_window}")


def ucb1_scores(rewards: np.ndarray, pulls: np.ndarray, exploration: float) -> np.ndarray:
    """Scores arms by upper confidence bound; an arm never pulled scores infinity.

    Source: Auer, Cesa-Bianchi & Fischer 2002, Theorem 1 (theirs has exploration = sqrt(2)).

    Args:
        rewards: ``(n_arms,)`` sum of rewards per arm; each reward lies in [0, 1].
        pulls: ``(n_arms,)`` finished pulls per arm.
        exploration: Weight of the confidence term; 0 is greedy.

    Returns:
        ``(n_arms,)`` scores; pull the largest.

    Raises:
        ValueError: If the shapes differ or ``exploration`` is negative.
    """
    if rewards.shape != pulls.shape:
        raise ValueError(f"rewards has shape {rewards.shape} but pulls has shape {pulls.shape}")
    if exploration < 0:
        raise ValueError(f"exploration must be >= 0, got {exploration}")
    tried = pulls > 0
    scores = np.full(pulls.shape, np.inf)
    confidence = np.sqrt(np.log(pulls.sum()) / pulls[tried]) if tried.any() else 0.0
    scores[tried] = rewards[tried] / pulls[tried] + exploration * confidence
    return scores


class Ucb1:
    """UCB1 over a fixed set of arms; ties are broken by chance."""

    def __init__(self, arms: Sequence[str], exploration: float) -> None:
        """Starts with no pulls.

        Raises:
            ValueError: If ``arms`` is empty or names one twice.
        """
        if not arms or len(set(arms)) != len(arms):
            raise ValueError(f"arms must be distinct and at least one, got {list(arms)}")
        self._arms = list(arms)
        self._exploration = exploration
        self._rewards = np.zeros(len(arms))
        self._pulls = np.zeros(len(arms), dtype=int)

    def choose(self, rng: np.random.Generator) -> str:
        scores = ucb1_scores(self._rewards, self._pulls, self._exploration)
        best = np.flatnonzero(scores == scores.max())
        return self._arms[int(rng.choice(best))]

    def update(self, arm: str, reward: float) -> None:
        if arm not in self._arms:
            raise ValueError(f"unknown arm {arm!r}; the arms are {', '.join(self._arms)}")
        if not 0 <= reward <= 1:
            raise ValueError(f"a reward lies in [0, 1], got {reward}")
        index = self._arms.index(arm)
        self._rewards[index] += reward
        self._pulls[index] += 1

    def pulls(self) -> dict[str, int]:
        return dict(zip(self._arms, self._pulls.tolist(), strict=True))

    def rewards(self) -> dict[str, float]:
        """Sum of rewards per arm."""
        return dict(zip(self._arms, self._rewards.tolist(), strict=True))


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
