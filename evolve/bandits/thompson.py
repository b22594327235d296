"""Thompson sampling: an arm is pulled as often as it is likely to be the best."""

from __future__ import annotations

import numpy as np

from evolve.bandits.fading import FadingBandit

#: Pulls that the prior of an arm is worth: those of Beta(1, 1).
PRIOR_PULLS = 2.0


class ThompsonBeta(FadingBandit):
    """Thompson sampling from Beta distributions of an arm's rewards and what pulls lack to a reward of 1.

    Fractional rewards count as fractions of a success; Agrawal & Goyal 2012 flip a coin instead, which a fold cannot do
    without a generator. ``exploration`` divides both parameters (Chapelle & Li 2011, "posterior reshaping"): 1 is the
    posterior itself, less is narrower, with the same mean. With a discount, an arm that is not pulled goes back to the
    prior (Raj & Kalyani 2017).

    The prior's mean is what all arms together have paid, not the 1/2 of the papers: where rewards are rare, an arm would need
    dozens of pulls to live down a prior of 1/2.
    """

    def _scores(self, rng: np.random.Generator, in_flight: np.ndarray) -> np.ndarray:
        prior = (1 + self._faded_rewards.sum()) / (2 + self._faded_pulls.sum())
        mean = (PRIOR_PULLS * prior + self._faded_rewards) / (PRIOR_PULLS + self._faded_pulls)
        weight = (PRIOR_PULLS + self._faded_pulls + in_flight) / self._exploration
        return np.asarray(rng.beta(mean * weight, (1 - mean) * weight))


class ThompsonGaussian(FadingBandit):
    """Thompson sampling from normal distributions of mean ``rewards / (pulls + 1)`` and variance ``1 / (pulls + 1)``.

    Source: Agrawal & Goyal 2013, whose standard deviation is multiplied by ``exploration``: 1 is theirs. Below 1 the prior may
    not reach what other arms pay, so arms never pulled come first.
    """

    def _scores(self, rng: np.random.Generator, in_flight: np.ndarray) -> np.ndarray:
        mean = self._faded_rewards / (self._faded_pulls + 1)
        begun = self._faded_pulls + in_flight
        return np.where(begun > 0, rng.normal(mean, self._exploration / np.sqrt(begun + 1)), np.inf)
