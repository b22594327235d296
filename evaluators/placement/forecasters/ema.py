"""An exponential moving average: the newer a window, the more it counts.

    sum over ages a of RATE * (1 - RATE)**a * load, divided by the sum of the factors

Source: Brown 1956, Exponential smoothing for predicting demand. The sum is divided by the factors' so that the first windows
are not weighed as if they had gone on for ever.

Edge cases: with one window it is that window; a load that drifts is followed late, by (1 - RATE) / RATE windows.
"""

import numpy as np

RATE = 0.5


def forecast(history: np.ndarray) -> np.ndarray:
    """Returns the weighted mean of the windows (W, L, E) as (L, E)."""
    ages = np.arange(len(history))[::-1]
    factors = RATE * (1 - RATE) ** ages
    mean: np.ndarray = np.tensordot(factors / factors.sum(), history, axes=1)
    return mean
