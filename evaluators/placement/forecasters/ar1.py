"""An autoregression of first order: logarithms of loads return to their mean over the windows, part of the way.

    x = log(load + 1/2), less its mean over the experts of the layer
    forecast ~ exp(m + phi * (x_last - m)), m the mean of x over the windows, one phi for all experts and layers

Source: phi is the least-squares estimate of Yule 1927, freed of its bias in short series by Kendall 1954, Note on bias in
the estimation of autocorrelation: the estimate falls short by (1 + 3 phi) / W, so that phi = (W * estimate + 1) / (W - 3).

Deviations: phi is kept within 0 and 1. The forecast is of the median load, not of its mean, which shares of similar
spread do not show.

Edge cases: with fewer than `WINDOWS` windows phi cannot be told, and the last one is the forecast; so it is where no load
ever changed. A half is added to counts, since zero has no logarithm, and taken off in the end.
"""

import numpy as np

WINDOWS = 4


def forecast(history: np.ndarray) -> np.ndarray:
    """Returns the load (L, E) that the windows (W, L, E) lead to, with the last one's sum over each layer."""
    last: np.ndarray = history[-1].astype(np.float64)
    if len(history) < WINDOWS:
        return last
    logs = np.log(history + 0.5)
    logs -= logs.mean(axis=2, keepdims=True)
    mean = logs.mean(axis=0)
    expected = np.exp(mean + _persistence(logs - mean) * (logs[-1] - mean))
    expected *= (last + 0.5).sum(axis=1, keepdims=True) / expected.sum(axis=1, keepdims=True)
    load: np.ndarray = np.maximum(expected - 0.5, 0.0)
    return load


def _persistence(apart: np.ndarray) -> float:
    """Estimates how much of a deviation (W, L, E) from the mean is left a window later."""
    windows = len(apart)
    spread = float((apart[:-1] ** 2).sum())
    if spread == 0:
        return 1.0
    estimate = float((apart[1:] * apart[:-1]).sum()) / spread
    return min(max((windows * estimate + 1) / (windows - 3), 0.0), 1.0)
