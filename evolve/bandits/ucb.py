"""Upper confidence bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evolve.bandits.fading import FadingBandit


def ucb1_scores(rewards: np.ndarray, pulls: np.ndarray, exploration: float, in_flight: np.ndarray | None = None) -> np.ndarray:
    """Scores arms by upper confidence bound; an arm never pulled scores infinity.

    Source: Auer, Cesa-Bianchi & Fischer 2002, Theorem 1 (theirs has exploration = sqrt(2) and nothing in flight).

    Args:
        rewards: ``(n_arms,)`` sum of rewards per arm; each reward lies in [0, 1].
        pulls: ``(n_arms,)`` finished pulls per arm; fractions where old ones are discounted.
        exploration: Weight of the confidence term; 0 is greedy.
        in_flight: ``(n_arms,)`` pulls begun and not finished: they count in the confidence term and not in the mean.

    Returns:
        ``(n_arms,)`` scores; pull the largest.

    Raises:
        ValueError: If the shapes differ or ``exploration`` is negative.
    """
    if rewards.shape != pulls.shape:
        raise ValueError(f"rewards has shape {rewards.shape} but pulls has shape {pulls.shape}")
    if exploration < 0:
        raise ValueError(f"exploration must be >= 0, got {exploration}")
    begun = pulls if in_flight is None else pulls + in_flight
    # Discounted pulls can sum to less than one: no confidence is below 0.
    spread = math.log(max(float(begun.sum()), 1.0))
    tried = begun > 0
    # An arm with nothing but pulls in flight has a mean of 0, so that they do not all go there.
    means = rewards / np.where(pulls > 0, pulls, 1.0)
    return np.where(tried, means + exploration * np.sqrt(spread / np.where(tried, begun, 1.0)), np.inf)


class DiscountedUcb(FadingBandit):
    """Discounted UCB: pulls and rewards fade, so that arms whose worth changes are tried again.

    Source: Garivier & Moulines 2011, section 2.1; their ``2 B sqrt(xi)`` is ``exploration``.
    """

    def _scores(self, rng: np.random.Generator, in_flight: np.ndarray) -> np.ndarray:
        return ucb1_scores(self._faded_rewards, self._faded_pulls, self._exploration, in_flight)


class Ucb1(DiscountedUcb):
    """UCB1 over a fixed set of arms: discounted UCB that forgets nothing."""

    def __init__(self, arms: Sequence[str], exploration: float, *, prior_cost_usd: float | None = None) -> None:
        """Starts with no pulls.

        Args:
            arms: Distinct names.
            exploration: Weight of the confidence term; 0 is greedy.
            prior_cost_usd: Expected cost of an arm that was never pulled; None takes the mean of the others'.

        Raises:
            ValueError: If ``arms`` is empty or names one twice.
        """
        super().__init__(arms, exploration, prior_cost_usd=prior_cost_usd)

    def rewards(self) -> dict[str, float]:
        """Sum of rewards per arm."""
        return dict(zip(self._arms, self._faded_rewards.tolist(), strict=True))
