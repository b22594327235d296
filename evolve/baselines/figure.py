"""Draws the baselines of a task: two metrics against each other, or the objective alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evolve.baselines.results import Mean, Results, Row
from evolve.labels import place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL_SIZE = 8.0


class _Point(NamedTuple):
    row: Row
    x: Mean
    y: Mean


def draw(results: Results, path: Path) -> bool:
    """Writes the figure as a PNG, a chart of the two metrics that the task names, or of the objective alone.

    The reference has a marker of its own, a diamond.

    Args:
        results: What is drawn; baselines that failed are left out.
        path: Where to.

    Returns:
        Whether there was anything to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and only needed here
    from matplotlib.figure import Figure

    points, scored = _points(results), [row for row in results.rows if row.objective is not None]
    if not scored:
        return False
    height = 5.0 if points else 1.2 + 0.32 * len(scored)
    figure = Figure(figsize=(7.2, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if points:
        _draw_points(axes, results, points)
    else:
        _draw_objective(axes, results, scored)
    n = len(results.seeds)
    axes.set_title(f"{results.task.name}: means and 95 % intervals over {n} seed{'' if n == 1 else 's'}", fontsize=11)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    if points:
        figure.draw_without_rendering()  # places on the page are known from then on
        figure.set_layout_engine("none")
        _label_points(axes, results, points)
    figure.savefig(path, format="png")
    return True


def _points(results: Results) -> list[_Point]:
    """Pairs the two metrics of every baseline that has both; empty where the task names none."""
    if not results.task.baselines_table.chart:
        return []
    pairs = [(row, [results.mean_of(row, name) for name in results.task.baselines_table.chart]) for row in results.rows]
    return [_Point(row, x, y) for row, (x, y) in pairs if x is not None and y is not None]


def _half(mean: Mean) -> float:
    return 0.0 if mean.interval is None else (mean.interval.high - mean.interval.low) / 2


def _colour(results: Results, row: Row) -> str:
    return f"C{results.rows.index(row) % 10}"


def _draw_points(axes: Axes, results: Results, points: list[_Point]) -> None:
    for point in points:
        marker = "D" if point.row.program.name == results.reference else "o"
        axes.errorbar(
            point.x.value,
            point.y.value,
            xerr=_half(point.x),
            yerr=_half(point.y),
            fmt=marker,
            markersize=5,
            linewidth=1.0,
            capsize=2,
            color=_colour(results, point.row),
        )
    axes.set_xlabel(results.task.baselines_table.chart[0])
    axes.set_ylabel(results.task.baselines_table.chart[1])
    axes.margins(0.12)


def _label_points(axes: Axes, results: Results, points: list[_Point]) -> None:
    """Writes names beside points, from the lowest up, each where it covers nothing."""
    ordered = sorted(points, key=lambda each: (each.y.value, each.x.value))
    places = np.array([(point.x.value, point.y.value) for point in ordered])
    halves = np.array([(_half(point.x), _half(point.y)) for point in ordered])
    bars = np.stack([places - halves, places + halves], axis=-1)
    place_labels(
        axes, [point.row.program.name for point in ordered], places, bars, [_colour(results, point.row) for point in ordered]
    )


def _draw_objective(axes: Axes, results: Results, scored: list[Row]) -> None:
    """Draws a point with its interval for every baseline, the best on top."""
    objective = results.task.objective
    found = [(row, row.objective) for row in scored if row.objective is not None]
    ordered = sorted(found, key=lambda each: objective.direction.oriented(each[1].value))
    for place, (row, mean) in enumerate(ordered):
        marker, colour = ("D", "C1") if row.program.name == results.reference else ("o", "C0")
        axes.errorbar(mean.value, place, xerr=_half(mean), fmt=marker, markersize=5, linewidth=1.2, capsize=2, color=colour)
    axes.set_yticks(range(len(ordered)), [row.program.name for row, _ in ordered], fontsize=_LABEL_SIZE)
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.set_xlabel(f"{objective.metric} ({objective.direction})")
