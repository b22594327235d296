"""Plans the next window's placement from the windows so far: forecasts the load, then places for it."""

from collections.abc import Callable, Mapping

import numpy as np

forecast: Callable[[np.ndarray], np.ndarray]
place: Callable[[np.ndarray, np.ndarray | None, np.ndarray | None, Mapping[str, int]], np.ndarray]


def plan(history: np.ndarray, tokens: np.ndarray | None, current: np.ndarray | None, cluster: Mapping[str, int]) -> np.ndarray:
    """Places the experts for the window that follows.

    Args:
        history: (W, L, E) int64, the load of each expert in each window so far, oldest first; read-only.
        tokens: (W, L, n, k) int16, the experts of sampled tokens in each of these windows; None where there are none; read-only.
        current: (L, R) int64, the placement in force; None before the first.
        cluster: Plain numbers: nodes, gpus, slots, groups, and what time and bytes cost.

    Returns:
        (L, R) int64, the expert in each slot.
    """
    return place(forecast(history), tokens, current, cluster)
