"""Draws a comparison: the best so far of each strategy, its median over seeds with a band between the quartiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evolve.comparing.comparison import Comparison
from evolve.comparing.curves import Axis
from evolve.errors import ConfigError, nearest_hint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What a figure can be, by the ending of its file.
ENDINGS = (".png", ".svg", ".pdf")
#: Points of a curve over dollars or seconds; over steps there is one per step, up to so many.
_POINTS = 400
_LABELS = {Axis.STEPS: "steps", Axis.USD: "usd spent", Axis.SECONDS: "seconds"}
#: Told apart without colour as well.
_STYLES = ("-", "--", "-.", ":")


def check_ending(path: Path) -> None:
    """Refuses a file whose ending is no kind of figure.

    Raises:
        ConfigError: If it is none of `ENDINGS`.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"figure {path}: {path.suffix!r} is no kind of figure; {nearest_hint(path.suffix, list(ENDINGS))}")


def draw(comparison: Comparison, path: Path) -> None:
    """Writes the figure; the file's ending says what kind.

    Raises:
        ConfigError: If the ending is none of `ENDINGS`.
    """
    check_ending(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and only needed when a figure is asked for
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    grid = _grid(comparison)
    for index in range(len(comparison.strategies)):
        _draw_strategy(axes, comparison, index, grid)
    _label(axes, comparison)
    figure.savefig(path, format=path.suffix.lower()[1:])


def _grid(comparison: Comparison) -> np.ndarray:
    if comparison.axis is Axis.STEPS and comparison.budget <= _POINTS:
        return np.arange(int(comparison.budget) + 1, dtype=float)
    return np.linspace(0.0, comparison.budget, _POINTS + 1)


def _draw_strategy(axes: Axes, comparison: Comparison, index: int, grid: np.ndarray) -> None:
    result = comparison.strategies[index]
    curves = np.array([run.curve.on_grid(comparison.axis, grid) for run in result.runs])
    low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
    colour = f"C{index % 10}"
    axes.fill_between(grid, low, high, step="post", color=colour, alpha=0.18, linewidth=0)
    style = _STYLES[index % len(_STYLES)]
    axes.plot(grid, middle, drawstyle="steps-post", color=colour, linestyle=style, linewidth=1.8, label=result.strategy)


def _label(axes: Axes, comparison: Comparison) -> None:
    seeds = len(comparison.seeds)
    axes.set_xlabel(_LABELS[comparison.axis])
    axes.set_ylabel(f"best {comparison.metric} so far ({comparison.direction})")
    axes.set_xlim(0, comparison.budget)
    if comparison.axis is Axis.STEPS:
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{comparison.task}: median and quartiles over {seeds} seed{'' if seeds == 1 else 's'}", fontsize=11)
    axes.grid(alpha=0.3, linewidth=0.6)
    low, high = axes.get_ylim()
    if comparison.best_known is not None and low <= comparison.best_known <= high + (high - low):
        axes.axhline(comparison.best_known, color="black", linewidth=0.9, linestyle=(0, (1, 3)), label="best known")
    axes.legend(loc="best", fontsize=9, frameon=False)
