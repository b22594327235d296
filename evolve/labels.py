"""Writes names beside the points of a picture so that none lies on another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Directions tried at each distance.
_DIRECTIONS = 16
#: From the point to the nearest edge of its name, in points of type.
_DISTANCES = (6, 11, 17, 24, 32, 42, 54, 68, 84, 102, 122, 144)
#: A name further away than this is tied to its point by a line.
_TIED = _DISTANCES[0]
_FONT_SIZE = 8

#: What a name pays, in points of distance: for all of itself outside the axes, on another name, on a marker, on bars. Those are
#: thin: one across a name of 60 points costs it 10 of distance.
_OUTSIDE, _ON_LABEL, _ON_MARKER, _ON_LINE = 2000.0, 1000.0, 1000.0, 600.0


class Box(NamedTuple):
    """A rectangle of the picture, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.top - self.bottom)


class _Spot(NamedTuple):
    """Where a name may stand: so many points of type from its point."""

    distance: float
    box: Box


def place_labels(axes: Axes, names: Sequence[str], places: np.ndarray, bars: np.ndarray, colours: Sequence[str]) -> list[Box]:
    """Writes each name at the nearest free spot beside its point, in the order given.

    Where no spot is free, the one that covers least is taken.

    Args:
        axes: Of a figure that has been drawn, and whose layout does not change any more.
        names: ``n`` of them.
        places: ``(n, 2)`` points, in the units of the axes.
        bars: ``(n, 2, 2)`` by axis, the lower and the upper end of each point's bars.
        colours: ``n``, of the names.

    Returns:
        What each name covers.
    """
    from matplotlib.patheffects import withStroke  # slow to import, and only needed when a figure is asked for

    unit = axes.figure.dpi / 72
    frame = Box(*axes.get_window_extent().extents)
    pixels = axes.transData.transform(places)
    # What names should keep off, with the price of it; names join as they are written.
    obstacles = [(Box(x - 4 * unit, y - 4 * unit, x + 4 * unit, y + 4 * unit), _ON_MARKER) for x, y in pixels]
    obstacles += [(line, _ON_LINE) for line in _lines(axes, places, bars, unit)]
    found = []
    for name, place, (x, y), colour in zip(names, places, pixels, colours, strict=True):
        spots = list(_spots(x, y, *_size(axes, name), unit))
        spot = min(spots, key=lambda spot: spot.distance + _price(spot.box, frame, obstacles))
        obstacles.append((spot.box, _ON_LABEL))
        found.append(spot.box)
        offset = ((spot.box.left + spot.box.right) / 2 - x, (spot.box.bottom + spot.box.top) / 2 - y)
        axes.annotate(
            name,
            tuple(place),
            (offset[0] / unit, offset[1] / unit),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_FONT_SIZE,
            color=colour,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6} if spot.distance > _TIED else None,
            path_effects=[withStroke(linewidth=2, foreground="white", alpha=0.8)],
            zorder=5,
        )
    return found


def _price(box: Box, frame: Box, obstacles: Sequence[tuple[Box, float]]) -> float:
    covered = sum(price * box.overlap(other) for other, price in obstacles)
    return (covered + _OUTSIDE * (box.area - box.overlap(frame))) / box.area


def _spots(x: float, y: float, width: float, height: float, unit: float) -> Iterator[_Spot]:
    """Spots around a point, near ones first, to the right of it first."""
    for distance in _DISTANCES:
        for turn in range(_DIRECTIONS):
            # To the right, then a little up, a little down, and so on to the left.
            angle = (turn + 1) // 2 * (-1) ** turn * 2 * math.pi / _DIRECTIONS
            left = x + math.cos(angle) * (distance * unit + width / 2) - width / 2
            bottom = y + math.sin(angle) * (distance * unit + height / 2) - height / 2
            yield _Spot(distance, Box(left, bottom, left + width, bottom + height))


def _size(axes: Axes, name: str) -> tuple[float, float]:
    """Width and height of a name, in pixels."""
    text = axes.text(0, 0, name, fontsize=_FONT_SIZE)
    extent = text.get_window_extent()
    text.remove()
    return float(extent.width), float(extent.height)


def _lines(axes: Axes, places: np.ndarray, bars: np.ndarray, unit: float) -> Iterator[Box]:
    """What bars cover: one rectangle along each axis of each point, as thick as their line."""
    for axis in (0, 1):
        ends = np.stack([places, places])
        ends[0, :, axis], ends[1, :, axis] = bars[:, axis, 0], bars[:, axis, 1]
        low, high = axes.transData.transform(ends.reshape(-1, 2)).reshape(2, -1, 2)
        for (left, bottom), (right, top) in zip(low - unit / 2, high + unit / 2, strict=True):
            yield Box(left, bottom, right, top)
