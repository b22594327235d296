"""What lies between a policy's hottest GPU and a bound: what it did not foresee, and what it did not pack well.

A policy's *oracle* is the same policy given the loads of the window that it is scored on. In each window and layer

    hottest GPU - bound  =  (hottest GPU - oracle's hottest GPU)  +  (oracle's hottest GPU - bound)
          gap            =               forecast                 +             packing

The forecast's part is the price of planning for yesterday. It is below zero where a wrong forecast happened to suit the
packing better, and that is not rare for policies that pack badly; the packing's part is never below zero if the bound holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

#: A bound that is rounded may lie so much of itself above the truth.
_ROUNDING = 1e-9


class GapParts(NamedTuple):
    """A gap and its two parts, in units of the bound.

    Attributes:
        total: How far the hottest GPUs are above the bound: 0.1 is a tenth more than the bound.
        forecast: What knowing the loads would save; may be below 0.
        packing: What remains with the loads known.
    """

    total: float
    forecast: float
    packing: float


@dataclass(frozen=True, slots=True)
class Gaps:
    """Gaps of one policy in each window and layer, in the unit of the loads.

    Attributes:
        forecast: ``(W, L)``.
        packing: ``(W, L)``, >= 0 but for rounding.
        bound: ``(W, L)``, what both are above.
    """

    forecast: np.ndarray
    packing: np.ndarray
    bound: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """``(W, L)`` sum of both parts."""
        return np.asarray(self.forecast + self.packing)

    def overall(self) -> GapParts:
        """Sums over layers and windows, as balancedness does: parts of the summed bound."""
        return _parts(self.forecast.sum(), self.packing.sum(), self.bound.sum())

    def by_window(self) -> np.ndarray:
        """``(2, W)`` forecast and packing of each window, summed over layers, as parts of the window's summed bound."""
        return _relative(self, axis=1)

    def by_layer(self) -> np.ndarray:
        """``(2, L)`` forecast and packing of each layer, summed over windows, as parts of the layer's summed bound."""
        return _relative(self, axis=0)


def split_gap(hottest: np.ndarray, oracle: np.ndarray, bound: np.ndarray) -> Gaps:
    """Splits the gap between a policy and a bound into what forecasts and what packing cost.

    Args:
        hottest: ``(W, L)`` load of the hottest GPU under the placement in force in each window.
        oracle: ``(W, L)`` the same for the placement that the policy makes from the window's own loads.
        bound: ``(W, L)`` bound of the window's loads: `bounds.lower_bound` for a policy whose replicas share evenly,
            `bounds.lower_bound_any_routing` for one that routes.

    Raises:
        ValueError: If shapes differ or are not (windows, layers), a number is not finite or below 0, or a placement is below the
            bound.
    """
    arrays = {
        name: np.asarray(value, dtype=np.float64) for name, value in (("hottest", hottest), ("oracle", oracle), ("bound", bound))
    }
    shapes = {name: value.shape for name, value in arrays.items()}
    if len(set(shapes.values())) != 1 or len(shapes["bound"]) != 2 or not arrays["bound"].size:
        raise ValueError(f"hottest, oracle and bound must be of one shape (windows, layers), got {shapes}")
    for name, value in arrays.items():
        if not np.isfinite(value).all() or value.min() < 0:
            raise ValueError(f"{name} must be finite and >= 0, got {value.min()} to {value.max()}")
        below = np.argwhere(value < arrays["bound"] * (1 - _ROUNDING))
        if len(below):
            window, layer = (int(i) for i in below[0])
            raise ValueError(
                f"{name} of window {window}, layer {layer} is {value[window, layer]}, below the bound "
                f"{arrays['bound'][window, layer]}: take the bound of any routing for a policy that routes, "
                "and all three from the same loads"
            )
    return Gaps(arrays["hottest"] - arrays["oracle"], arrays["oracle"] - arrays["bound"], arrays["bound"])


def _relative(gaps: Gaps, axis: int) -> np.ndarray:
    sums = [part.sum(axis) for part in (gaps.forecast, gaps.packing, gaps.bound)]
    return np.array([(part.forecast, part.packing) for part in map(_parts, *sums)]).T


def _parts(forecast: float, packing: float, bound: float) -> GapParts:
    """Parts of a bound; all are 0 where nothing was to be done, and the bound is 0."""
    unit = float(bound) or 1.0
    forecast, packing = float(forecast) / unit, float(packing) / unit
    return GapParts(forecast + packing, forecast, packing)
