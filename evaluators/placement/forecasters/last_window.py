"""The last window's load, unchanged: what the published balancers are given."""

import numpy as np


def forecast(history: np.ndarray) -> np.ndarray:
    """Returns the newest of the windows (W, L, E) as (L, E)."""
    last: np.ndarray = history[-1].astype(np.float64)
    return last
