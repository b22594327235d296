"""Thompson sampling: an arm is pulled as often as it is likely to be the best."""

from __future__ import annotations

import numpy as np

from evolve.bandits.fading import FadingBandit


class ThompsonBeta(FadingBandit):
    """Thompson sampling from Beta(1 + rewards, 1 + pulls - rewards).

    Fractional rewards count as fractions of a success; Agrawal & Goyal 2012 flip a coin instead, which a fold cannot do
    without a generator. ``exploration`` divides both parameters (Chapelle & Li 2011, "posterior reshaping"): 1 is the
    posterior itself, less is narrower, with the same mean. With a discount, an arm that is not pulled goes back to the
    prior (Raj & Kalyani 2017).
    """

    def _scores(self, rng: np.random.Generator, in_flight: np.ndarray) -> np.ndarray:
        mean = (1 + self._faded_rewards) / (2 + self._faded_pulls)
        weight = (2 + self._faded_pulls + in_flight) / self._exploration
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
