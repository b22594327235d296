"""How unevenly experts are used, from counts; what each number means is said where it is computed.

``counts`` are always ``(..., E)`` with experts on the last axis, and the mean over all leading axes (layers, batches) is returned.
Experts without computation are not to be among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: An expert counts as dead with less than this share of the mean load. Source: the floor of ShinkaEvolve's loss (arXiv 2509.19349).
DEAD_BELOW = 0.064


def max_violation(counts: np.ndarray) -> float:
    """How much more than the mean the busiest expert gets: (max - mean) / mean.

    Source: Wang et al., arXiv 2408.15664 (MaxVio); of counts over the whole validation set it is their MaxVio_global, of one
    training batch their MaxVio_batch.
    """
    return float((_relative(counts).max(-1) - 1).mean())


def min_violation(counts: np.ndarray) -> float:
    """How much less than the mean the idlest expert gets: min / mean - 1, from -1 to 0."""
    return float((_relative(counts).min(-1) - 1).mean())


def average_violation(counts: np.ndarray) -> float:
    """The mean distance from the mean load, in units of it."""
    return float(np.abs(_relative(counts) - 1).mean())


def l1_imbalance(counts: np.ndarray) -> float:
    """The sum of all experts' distances from an equal share, from 0 to 2 (1 - 1/E).

    Source: ShinkaEvolve, arXiv 2509.19349 (L_imb).
    """
    return float(np.abs(shares(counts) - 1 / counts.shape[-1]).sum(-1).mean())


def idle_share(counts: np.ndarray, choices: float) -> float:
    """Share of the choices that a method may make and does not, from 0 to 1; a layer that makes more does not make up for another.

    Args:
        counts: See above.
        choices: As many as there may be in each layer: tokens, times the experts of each.
    """
    return float(np.maximum(0.0, 1 - counts.sum(-1) / choices).mean())


def variation(counts: np.ndarray) -> float:
    """Standard deviation in units of the mean (CV)."""
    return float(_relative(counts).std(-1).mean())


def load_entropy(counts: np.ndarray) -> float:
    """Entropy of the load in units of the largest, from 0 to 1."""
    return float((_entropy(shares(counts)) / np.log(counts.shape[-1])).mean())


def gini(counts: np.ndarray) -> float:
    """Gini's coefficient of the load: 0 for equal shares, 1 - 1/E for all on one expert."""
    n = counts.shape[-1]
    ordered = np.sort(shares(counts), -1)
    ranks = 2 * np.arange(1, n + 1) - n - 1
    return float(((ordered * ranks).sum(-1) / n).mean())


def dead_share(counts: np.ndarray) -> float:
    """Share of experts with less than `DEAD_BELOW` of the mean load; where nobody uses any, all are dead."""
    unused = counts.sum(-1, keepdims=True) == 0
    return float(((shares(counts) < DEAD_BELOW / counts.shape[-1]) | unused).mean())


def specialisation(counts: np.ndarray) -> float:
    """How much an expert tells of the domain: Jensen-Shannon divergence of the domains' loads, from 0 to 1.

    Args:
        counts: ``(D, ..., E)``, one row of experts per domain.
    """
    loads = shares(counts)
    mixture = loads.mean(0)
    return float(((_entropy(mixture) - _entropy(loads).mean(0)) / np.log(len(counts))).mean())


def device_imbalance(counts: np.ndarray, devices: int) -> float:
    """What the busiest device has to do, in units of the mean: 1 at best.

    Args:
        counts: Experts lie on devices in order, equally many on each.
        devices: How many there are; the experts' number is a multiple.
    """
    loads = counts.reshape(*counts.shape[:-1], devices, -1).sum(-1)
    return float(_relative(loads).max(-1).mean())


def spikes(losses: Sequence[float], window: int = 20, factor: float = 1.5) -> int:
    """Counts the steps whose loss is above ``factor`` times the median of the ``window`` steps before."""
    values = np.asarray(losses)
    return sum(bool(values[k] > factor * np.median(values[k - window : k])) for k in range(window, len(values)))


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts in units of their sum; equal shares where there are none."""
    totals = counts.sum(-1, keepdims=True)
    result: np.ndarray = np.where(totals > 0, counts / np.where(totals > 0, totals, 1), 1 / counts.shape[-1])
    return result


def _relative(counts: np.ndarray) -> np.ndarray:
    """Counts in units of their mean; 1 where there are none, so that no layer that nobody uses looks better than balanced."""
    means = counts.mean(-1, keepdims=True)
    result: np.ndarray = np.where(means > 0, counts / np.where(means > 0, means, 1.0), 1.0)
    return result


def _entropy(loads: np.ndarray) -> np.ndarray:
    result: np.ndarray = -(loads * np.log(np.where(loads > 0, loads, 1.0))).sum(-1)
    return result
