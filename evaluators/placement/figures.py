"""Pictures of placements: how even the GPUs are, and what keeps the hottest one above the bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of loads end here, in units of the mean, so that one hot GPU does not make all others look alike.
_HOTTEST = 2.0

_BEFORE = "#4a6b8a"
_AFTER = "#c1272d"
_PACKING = "#d9a441"


def draw_gpu_loads(path: str, before: np.ndarray, after: np.ndarray, bound: np.ndarray, title: str = "") -> None:
    """Draws the loads of GPUs under two placements, hottest first: above on average over layers, below layer by layer.

    Args:
        path: PNG file to write.
        before: ``(L, D)`` load of each GPU, such as without a plan.
        after: ``(L, D)`` load of each GPU under the placement that the picture is about, from the same loads of experts.
        bound: ``(L,)`` what the hottest GPU of a layer cannot go below.
        title: Of the picture.

    Raises:
        ValueError: If shapes do not fit, a number is negative or not finite, or a layer's sums differ.
    """
    if before.ndim != 2 or before.shape != after.shape or bound.shape != before.shape[:1] or not before.size:
        raise ValueError(
            f"before and after must be (layers, gpus) and bound (layers,), got {before.shape}, {after.shape} and {bound.shape}"
        )
    _check_finite(before=before, after=after, bound=bound)
    if min(before.min(), after.min(), bound.min()) < 0:
        raise ValueError("loads and bounds must be >= 0")
    if not np.allclose(before.sum(1), after.sum(1), rtol=1e-6):
        raise ValueError("before and after must hold the same load in each layer: draw both from one window")
    mean = np.maximum(after.mean(1, keepdims=True), 1e-12)
    hot, cool = (-np.sort(-loads / mean, axis=1) for loads in (before, after))
    layers = len(before)
    below = float(np.clip(0.06 * layers, 0.8, 4.0))
    figure = _figure(8.0, 3.6 + below)
    rows = figure.subplot_mosaic([["ranks", "ranks"], ["before", "after"]], height_ratios=[2.8, below])
    _draw_ranks(rows["ranks"], hot, cool, float((bound / mean[:, 0]).mean()))
    rows["ranks"].set_title(title or "Loads of GPUs", fontsize=11)
    _draw_heat(figure, (rows["before"], rows["after"]), hot, cool)
    figure.savefig(path, format="png")


def draw_gaps(path: str, forecast: np.ndarray, packing: np.ndarray, title: str = "") -> None:
    """Draws how far the hottest GPUs are above the bound in each window: what packing cost, and on top of it what forecasts cost.

    A part below zero, where a wrong forecast suited the packing better, hangs below the axis; the line is the sum.

    Args:
        path: PNG file to write.
        forecast: ``(W,)`` part of the forecast as a fraction of the bound, such as the first of `Gaps.by_window`.
        packing: ``(W,)`` part of the packing, such as the second.
        title: Of the picture.

    Raises:
        ValueError: If shapes differ or are not ``(W,)``, or a number is not finite.
    """
    if forecast.ndim != 1 or forecast.shape != packing.shape or not forecast.size:
        raise ValueError(f"forecast and packing must both be of shape (windows,), got {forecast.shape} and {packing.shape}")
    _check_finite(forecast=forecast, packing=packing)
    figure = _figure(8.0, 4.2)
    axes = figure.add_subplot()
    windows = np.arange(len(forecast))
    # On top of the packing where it adds, below the axis where it takes away: bars of opposite signs are not stacked.
    onto = np.where((forecast > 0) & (packing > 0), 100 * packing, 0.0)
    total = 100 * (forecast + packing)
    parts = [
        axes.bar(windows, 100 * packing, 0.8, color=_PACKING, label=f"packing: {_percent(packing)}"),
        axes.bar(windows, 100 * forecast, 0.8, bottom=onto, color=_AFTER, label=f"forecast: {_percent(forecast)}"),
        *axes.plot(windows, total, ".-", color="0.15", linewidth=1.0, markersize=5, label=f"both: {_percent(forecast + packing)}"),
    ]
    axes.axhline(0, color="black", linewidth=0.9)
    axes.set(xlabel="scored window", ylabel="hottest GPU above the bound, %")
    axes.set_xlim(-0.6, len(windows) - 0.4)
    axes.margins(y=0.08)
    _whole_numbers(axes)
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(title or "What keeps the hottest GPU above the bound", fontsize=11)
    figure.legend(
        handles=parts,
        loc="outside lower center",
        ncols=3,
        fontsize=9,
        frameon=False,
        title="mean over windows",
        title_fontsize=9,
    )
    figure.savefig(path, format="png")


def _draw_ranks(axes: Axes, hot: np.ndarray, cool: np.ndarray, bound: float) -> None:
    """Draws ``(L, D)`` sorted loads as two staircases over ranks of GPUs, and the bound of the first step as a line."""
    edges = np.arange(hot.shape[1] + 1) + 0.5
    for name, loads, colour in (("before", hot, _BEFORE), ("after", cool, _AFTER)):
        steps = loads.mean(0)
        axes.stairs(steps, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(steps, edges, baseline=None, color=colour, linewidth=1.8, label=f"{name}: hottest {steps[0]:.3f}")
    axes.axhline(bound, color="black", linewidth=1.2, linestyle="--", label=f"bound of the hottest: {bound:.3f}")
    axes.set(xlabel="GPU, hottest of its layer first", ylabel="load, in units of the mean")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, None)
    _whole_numbers(axes)
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    axes.legend(loc="upper right", fontsize=9)


def _draw_heat(figure: Figure, both: tuple[Axes, Axes], hot: np.ndarray, cool: np.ndarray) -> None:
    """Draws ``(L, D)`` sorted loads as two maps with one scale."""
    from matplotlib.colors import TwoSlopeNorm  # slow to import, and only needed when a figure is asked for
    from matplotlib.ticker import MaxNLocator

    scale = TwoSlopeNorm(1.0, 0.0, _HOTTEST)
    layers, gpus = hot.shape
    for axes, name, loads in zip(both, ("before", "after"), (hot, cool), strict=True):
        extent = (0.5, gpus + 0.5, layers - 0.5, -0.5)
        image = axes.imshow(loads, aspect="auto", interpolation="nearest", extent=extent, cmap="RdBu_r", norm=scale)
        axes.set_title(name, fontsize=10)
        axes.set(xlabel="GPU, hottest of its layer first", ylabel="layer")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        _whole_numbers(axes)
    bar = figure.colorbar(image, ax=list(both), label="load / mean", extend="max", pad=0.01)
    bar.set_ticks([0, 1, 2])


def _check_finite(**arrays: np.ndarray) -> None:
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite; leave out windows or layers that failed")


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator  # see above

    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))


def _percent(parts: np.ndarray) -> str:
    return f"{100 * parts.mean():.1f} %"


def _figure(width: float, height: float) -> Figure:
    """A figure of so many inches that draws to memory."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and only needed when a figure is asked for
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
