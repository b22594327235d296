"""Pictures of trainings: which experts are busy when, and what balance costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evolve.intervals import Interval
from evolve.labels import place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

#: Columns of a picture; more steps than that are averaged by neighbours.
_COLUMNS = 400

#: Colours of loads end here, in units of the mean, so that one runaway expert does not make all others look alike.
_BUSIEST = 4.0

_STUDIED = "#c1272d"
_OTHER = "#4a6b8a"


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A method in the plane of the two aims, averaged over seeds.

    Attributes:
        name: Written beside it.
        cross_entropy: Nats per byte, with its interval.
        imbalance: Of the loads, with its interval.
        studied: Whether it is the program that the picture is about.
    """

    name: str
    cross_entropy: Interval
    imbalance: Interval
    studied: bool = False


def draw_loads(path: str, loads: np.ndarray, title: str = "") -> None:
    """Draws MaxVio by layer and step, and below it, layer by layer, the load of each expert.

    Args:
        path: PNG file to write.
        loads: ``(steps, L, E)`` tokens that chose each expert, such as `Trace.load`.
        title: Of the picture.

    Raises:
        ValueError: If the shape is another or there is nothing to draw.
    """
    if loads.ndim != 3 or not loads.size:
        raise ValueError(f"loads must be of shape (steps, layers, experts), got {loads.shape}")
    steps, layers, _ = loads.shape
    relative = loads / np.maximum(loads.mean(-1, keepdims=True), 1e-12)
    from matplotlib.colors import Normalize, TwoSlopeNorm  # slow to import, and only needed when a figure is asked for

    heights = [max(0.9, 0.2 * layers), *[1.2] * layers]
    figure = _figure(8.0, 0.8 + sum(heights))
    rows = figure.subplots(layers + 1, 1, sharex=True, height_ratios=heights)
    violation = _thin(relative.max(-1) - 1)
    worst = max(1.0, float(np.quantile(violation, 0.99)))
    image = _heat(rows[0], violation.T, steps, "magma_r", Normalize(0.0, worst))
    rows[0].set(ylabel="layer", title=title or "MaxVio and loads of experts")
    figure.colorbar(image, ax=rows[0], label="MaxVio", extend="max", pad=0.01, aspect=8)
    scale = TwoSlopeNorm(1.0, 0.0, _BUSIEST)
    for layer in range(layers):
        image = _heat(rows[layer + 1], _thin(relative[:, layer]).T, steps, "RdBu_r", scale)
        rows[layer + 1].set_ylabel(f"expert\n(layer {layer})")
    below = rows[1:].tolist()
    bar = figure.colorbar(image, ax=below, label="load, in units of the mean", extend="max", pad=0.01, aspect=10 * layers)
    bar.set_ticks([0, 0.5, 1, 2, 3, 4])
    rows[-1].set_xlabel("step")
    figure.savefig(path, format="png")


def draw_front(path: str, points: Sequence[FrontPoint], imbalance: str = "L_imb", title: str = "") -> None:
    """Draws cross-entropy against imbalance: bars for where means may lie, a line for what no other method dominates.

    Args:
        path: PNG file to write.
        points: One per method.
        imbalance: What it is called at the axis.
        title: Of the picture.

    Raises:
        ValueError: If there are no points, or a number is not finite.
    """
    if not points:
        raise ValueError("there are no points to draw")
    places = np.array([(point.imbalance, point.cross_entropy) for point in points], dtype=float)
    if not np.isfinite(places).all():
        raise ValueError("points and their intervals must be finite; leave out trainings that failed")
    # What the picture is about gets the best place for its name.
    order = sorted(range(len(points)), key=lambda index: not points[index].studied)
    points, places = [points[index] for index in order], places[order]
    figure = _figure(8.0, 6.0)
    axes = figure.add_subplot()
    axes.plot(*_front(places[:, :, 0]).T, drawstyle="steps-post", color="0.75", linewidth=1.2, zorder=1)
    for point, place in zip(points, places, strict=True):
        _draw_point(axes, point, place)
    axes.set(xlabel=f"{imbalance} (less is better)", ylabel="cross-entropy, nats per byte (less is better)")
    axes.set_title(title or "What balance costs", fontsize=11)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.margins(0.1)
    colours = [_STUDIED if point.studied else "0.15" for point in points]
    figure.canvas.draw()  # only after that is it known where the axes lie
    figure.set_layout_engine("none")
    place_labels(axes, [point.name for point in points], places[:, :, 0], places[:, :, 1:], colours)
    figure.savefig(path, format="png")


def _draw_point(axes: Axes, point: FrontPoint, place: np.ndarray) -> None:
    """Draws one method, whose ``(2, 3)`` place holds value, low and high of both aims."""
    (x, left, right), (y, low, high) = place
    axes.errorbar(
        x,
        y,
        xerr=[[x - left], [right - x]],
        yerr=[[y - low], [high - y]],
        fmt="D" if point.studied else "o",
        color=_STUDIED if point.studied else _OTHER,
        markersize=7 if point.studied else 5,
        elinewidth=1.4 if point.studied else 0.7,
        alpha=1.0 if point.studied else 0.8,
        zorder=4 if point.studied else 3,
    )


def _figure(width: float, height: float) -> Figure:
    """A figure of so many inches that draws to memory."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and only needed when a figure is asked for
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _thin(values: np.ndarray) -> np.ndarray:
    """Averages neighbouring rows until there are no more than `_COLUMNS`."""
    parts = np.array_split(values, min(_COLUMNS, len(values)))
    return np.stack([part.mean(0) for part in parts])


def _heat(axes: Axes, values: np.ndarray, steps: int, colours: str, scale: Normalize) -> AxesImage:
    """Draws ``(rows, columns)`` values, whatever the number of columns, over all steps."""
    from matplotlib.ticker import MaxNLocator

    extent = (0, steps, len(values) - 0.5, -0.5)
    image = axes.imshow(values, aspect="auto", interpolation="nearest", extent=extent, cmap=colours, norm=scale)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    return image


def _front(places: np.ndarray) -> np.ndarray:
    """Of ``(n, 2)`` places those that none dominates, by the first number."""
    kept: list[np.ndarray] = []
    for place in places[np.lexsort((places[:, 1], places[:, 0]))]:
        if not kept or place[1] < kept[-1][1]:
            kept.append(place)
    return np.array(kept)
