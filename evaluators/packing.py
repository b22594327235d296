"""Scores packings of circles in the unit square by the sum of radii, without any tolerance.

What a program hands over is turned into doubles and never trusted: the sum is recomputed, and that no circle leaves the
square or overlaps another is proven in whole numbers (every double is a multiple of 2**-1074, so nothing is rounded). Near misses,
such as an optimiser's last digits leave, are repaired by shrinking the circles at fault, and the repaired packing is proven
and scored; so no tolerance can be harvested. Overlaps deeper than `REPAIRABLE` are refused: shrinking them would make
the scorer do the program's work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evolve.evaluators.base import Invalid

#: Deepest overlap that is repaired, in units of the square's side. Optimisers leave 1e-4 and less; an overlap of 1e-3
#: costs the program up to that much of its sum for each contact, so that leaving one never pays.
REPAIRABLE = 1e-3

#: Circles closer than this count as touching, in the texts only.
_CONTACT = 1e-7


class Answer(NamedTuple):
    """Centres ``(n, 2)`` and radii ``(n,)`` as a program handed them over, unchecked."""

    centers: object
    radii: object


@dataclass(frozen=True, slots=True)
class PackingReport:
    """A proven packing and what there is to say about it.

    Attributes:
        centers: ``(n, 2)`` float64, in the unit square.
        radii: ``(n,)`` float64, after repair.
        sum_of_radii: Sum of ``radii``, the score.
        raw_sum: Sum of the radii as they were handed over.
        violation: Deepest overlap with a wall or between two circles as handed over; 0 when there was none.
        best_known: The best sum that anybody is known to have reached.
    """

    centers: np.ndarray
    radii: np.ndarray
    sum_of_radii: float
    raw_sum: float
    violation: float
    best_known: float | None = None

    @property
    def repaired(self) -> bool:
        """Whether circles had to be shrunk."""
        return self.sum_of_radii != self.raw_sum or self.violation > 0

    @property
    def metrics(self) -> dict[str, float]:
        """Numbers beside the score."""
        slack = _slack(self.centers, self.radii)
        return {
            "raw_sum": self.raw_sum,
            "violation": self.violation,
            "smallest_radius": float(self.radii.min()),
            "loose_circles": float((slack > _CONTACT).sum()),
        }

    @property
    def text(self) -> str:
        """Feedback: where the packing is tight and where it has room."""
        lines = [f"Sum of radii {self.sum_of_radii:.12f}"]
        if self.best_known is not None:
            lines[0] += f"; best known {self.best_known:.12f}, {self.best_known - self.sum_of_radii:.12f} to go"
        if self.repaired:
            lines.append(
                f"Repaired: the deepest overlap was {self.violation:.3g}; circles were shrunk until none remained "
                f"(sum as handed over: {self.raw_sum:.12f})."
            )
        return "\n".join([*lines, *_describe(self.centers, self.radii)])

    def draw(self, path: str) -> None:
        """Writes a picture of the packing.

        Args:
            path: PNG file to write.
        """
        _draw(self, path)


def split_answer(answer: object) -> Answer:
    """Takes ``(centers, radii)`` apart; a third item, such as a sum, is ignored.

    Raises:
        Invalid: If it is neither a tuple nor a list of two or three.
    """
    if not isinstance(answer, tuple | list) or len(answer) not in (2, 3):
        size = f" of {len(answer)}" if isinstance(answer, tuple | list) else ""
        raise Invalid(f"expected (centers, radii), got {type(answer).__name__}{size}")
    return Answer(answer[0], answer[1])


def check_packing(centers: object, radii: object, n: int, best_known: float | None = None) -> PackingReport:
    """Proves a packing of circles in the unit square and sums its radii.

    Args:
        centers: ``(n, 2)`` array or nested lists of real numbers.
        radii: ``(n,)`` array or list of real numbers.
        n: Circles expected.
        best_known: The best sum known, for the text.

    Returns:
        The packing after repair: ``0 <= r``, ``r <= x <= 1 - r``, ``r <= y <= 1 - r`` and ``|c_i - c_j| >= r_i + r_j``
        hold exactly.

    Raises:
        Invalid: If shape or type are not as described, a number is not finite, a radius is negative, a centre lies
            outside the square, or an overlap is deeper than `REPAIRABLE`.
    """
    places = _real_array("centers", centers, (n, 2))
    sizes = _real_array("radii", radii, (n,))
    _refuse_gross(places, sizes)
    raw_sum = math.fsum(sizes)
    strict = _within_walls(places, sizes)
    _part_overlaps(places, strict)
    violation = _violation(places, sizes) if (strict != sizes).any() else 0.0
    return PackingReport(places, strict, math.fsum(strict), raw_sum, violation, best_known)


# Reading


def _real_array(name: str, value: object, shape: tuple[int, ...]) -> np.ndarray:
    """Copies plain real numbers into a float64 array, asking nothing of the values' own methods."""
    if type(value) is np.ndarray:
        if value.dtype.kind not in "fiu":
            raise Invalid(f"{name} must hold real numbers, got an array of {value.dtype}")
        if value.shape != shape:
            raise Invalid(f"{name} must have shape {shape}, got {value.shape}")
        array = value.astype(np.float64)
    else:
        array = np.array(_numbers(name, value, shape), dtype=np.float64).reshape(shape)
    if not np.isfinite(array).all():
        index = np.argwhere(~np.isfinite(array))[0].tolist()
        raise Invalid(f"{name}{index} is {array[tuple(index)]}, not a finite number")
    return array


def _numbers(name: str, value: object, shape: tuple[int, ...]) -> list[float]:
    """Flattens nested lists or tuples of the given shape."""
    # Exact types: a subclass may answer comparisons as it likes.
    if not shape:
        if type(value) not in (float, int):
            raise Invalid(f"{name} must be a number, got {type(value).__name__}")
        try:
            return [float(value)]  # type: ignore[arg-type]
        except OverflowError as error:
            raise Invalid(f"{name} is too large for a double") from error
    if type(value) is np.ndarray:
        return [float(item) for item in _real_array(name, value, shape).ravel()]
    if type(value) is not list and type(value) is not tuple:
        raise Invalid(f"{name} must be an array or nested lists of shape {shape}, got {type(value).__name__}")
    if len(value) != shape[0]:
        raise Invalid(f"{name} must have {shape[0]} items, got {len(value)}")
    return [number for index, item in enumerate(value) for number in _numbers(f"{name}[{index}]", item, shape[1:])]


def _refuse_gross(centers: np.ndarray, radii: np.ndarray) -> None:
    """Refuses what is no near miss, naming the circles."""
    if (radii < 0).any():
        circle = int(radii.argmin())
        raise Invalid(f"circle {circle} has a negative radius, {float(radii[circle])!r}")
    outside = np.flatnonzero(((centers < 0) | (centers > 1)).any(axis=1))
    if len(outside):
        circle = int(outside[0])
        raise Invalid(f"the centre of circle {circle} lies outside the unit square: {tuple(centers[circle].tolist())}")
    wall = radii - _wall_distance(centers)
    if wall.max() > REPAIRABLE:
        circle = int(wall.argmax())
        raise Invalid(
            f"circle {circle} at {tuple(centers[circle].tolist())} with radius {radii[circle]:.9g} passes a wall by "
            f"{wall[circle]:.3g}; at most {REPAIRABLE} is repaired"
        )
    overlap = -_gaps(centers, radii)
    first, second = np.unravel_index(int(overlap.argmax()), overlap.shape)
    if overlap[first, second] > REPAIRABLE:
        raise Invalid(
            f"circles {first} and {second} overlap by {overlap[first, second]:.3g} (distance "
            f"{math.dist(centers[first], centers[second]):.9g}, radii {radii[first]:.9g} and {radii[second]:.9g}); at most "
            f"{REPAIRABLE} is repaired"
        )


# Floating-point geometry: exact enough to find what needs proof, and for texts


def _wall_distance(centers: np.ndarray) -> np.ndarray:
    """``(n,)`` distance of each centre from the nearest wall."""
    nearest: np.ndarray = np.minimum(centers, 1 - centers).min(axis=1)
    return nearest


def _gaps(centers: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """``(n, n)`` distance between circles, negative where they overlap, infinite on the diagonal."""
    offsets = centers[:, None] - centers[None]
    gaps: np.ndarray = np.hypot(offsets[..., 0], offsets[..., 1]) - radii[:, None] - radii[None]
    np.fill_diagonal(gaps, np.inf)
    return gaps


def _slack(centers: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """``(n,)`` by how much each circle alone could grow."""
    smallest: np.ndarray = np.minimum(_wall_distance(centers) - radii, _gaps(centers, radii).min(axis=1))
    return smallest


def _violation(centers: np.ndarray, radii: np.ndarray) -> float:
    return max(0.0, -float(_slack(centers, radii).min()))


# Proof and repair: whole numbers, in units of the smallest double, of which every double is a multiple


#: The square's side in those units.
_ONE = 1 << 1074


def _exact(value: float) -> int:
    """Returns a double in units of 2**-1074."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << (1075 - denominator.bit_length())


def _within_walls(centers: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Returns radii that keep every circle inside the square, exactly, and none larger than it was."""
    strict = radii.tolist()
    for circle, place in enumerate(centers.tolist()):
        for coordinate in place:
            room = 1.0 - coordinate
            if _exact(room) + _exact(coordinate) > _ONE:
                room = math.nextafter(room, 0.0)
            strict[circle] = min(strict[circle], coordinate, room)
    return np.array(strict)


def _part_overlaps(centers: np.ndarray, radii: np.ndarray) -> None:
    """Shrinks overlapping circles in place, by equal parts, until no two overlap, exactly.

    Shrinking cannot make a new overlap, so one pass over the pairs in doubt is enough.
    """
    # A pair's gap in doubles is off by less than 1e-15: offsets lie within [-1, 1] and are rounded once (2**-54 at most),
    # hypot errs by one unit in the last place of a value below 1.5 (2**-52), and so do the two subtractions. A gap above
    # 1e-14 is therefore a gap.
    doubtful = np.argwhere(np.triu(_gaps(centers, radii) < 1e-14, 1)).tolist()
    places = [[_exact(coordinate) for coordinate in place] for place in centers.tolist()]
    for first, second in doubtful:
        squared = sum((a - b) ** 2 for a, b in zip(places[first], places[second], strict=True))
        distance = math.dist(centers[first], centers[second])
        radii[first], radii[second] = _part(float(radii[first]), float(radii[second]), distance, squared)


def _part(first: float, second: float, distance: float, squared: int) -> tuple[float, float]:
    """Returns two radii whose sum is at most a distance, exactly, shrinking both by the same amount if they must.

    Args:
        first: One circle's radius.
        second: The other's.
        distance: Between the centres, rounded.
        squared: The distance's square, in units of 2**-2148.
    """
    if _apart(first, second, squared):
        return first, second
    half = max(0.0, (first + second - distance) / 2)
    smaller, larger = sorted((first, second))
    smaller = max(0.0, smaller - half)
    larger = max(0.0, min(larger, distance - smaller))
    # The distance and the differences are rounded; a few steps down make up for it.
    while larger > 0 and not _apart(smaller, larger, squared):
        larger = math.nextafter(larger, 0.0)
    smaller = smaller if _apart(smaller, larger, squared) else 0.0
    return (smaller, larger) if first <= second else (larger, smaller)


def _apart(first: float, second: float, squared: int) -> bool:
    return (_exact(first) + _exact(second)) ** 2 <= squared


# Texts and pictures


def _describe(centers: np.ndarray, radii: np.ndarray) -> list[str]:
    """Says which circles are loose, small, at the walls, and where there is room."""
    slack = _slack(centers, radii)
    touching = _gaps(centers, radii) <= _CONTACT
    walls = int((_wall_distance(centers) - radii <= _CONTACT).sum())
    lines = [f"{walls} circles touch a wall; {int(touching.sum()) // 2} pairs of circles touch."]
    loose = [int(circle) for circle in np.argsort(-slack, kind="stable") if slack[circle] > _CONTACT]
    if loose:
        shown = ", ".join(f"{circle} (by {slack[circle]:.3g})" for circle in loose[:5])
        lines.append(f"{len(loose)} circles touch nothing and could grow where they are: {shown}{' ...' if loose[5:] else ''}.")
    small = np.argsort(radii, kind="stable")[:3].tolist()
    lines.append("Smallest circles: " + ", ".join(f"{circle} {_circle(centers[circle], radii[circle])}" for circle in small) + ".")
    place, room = _largest_hole(centers, radii)
    lines.append(f"Largest hole: {_circle(place, room)} would fit without moving anything.")
    return lines


def _circle(center: np.ndarray, radius: float) -> str:
    return f"r = {radius:.6f} at ({center[0]:.4f}, {center[1]:.4f})"


def _largest_hole(centers: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, float]:
    """Finds the largest circle that would still fit, to within a grid's 1/50."""
    ticks = np.linspace(0.02, 0.98, 49)
    squares = (ticks[:, None] - centers[:, 0]) ** 2
    distances = np.sqrt(squares[:, None] + ((ticks[:, None] - centers[:, 1]) ** 2)[None])
    walls = np.minimum(ticks, 1 - ticks)
    room = np.minimum((distances - radii).min(axis=2), np.minimum(walls[:, None], walls[None]))
    column, row = np.unravel_index(int(room.argmax()), room.shape)
    return np.array([ticks[column], ticks[row]]), max(0.0, float(room[column, row]))


def _draw(report: PackingReport, path: str) -> None:
    from matplotlib import colormaps  # slow to import, and only needed when a figure is asked for
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    figure = Figure(figsize=(6, 6.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    colours = colormaps["viridis"]
    low, high = float(report.radii.min()), float(report.radii.max())
    for circle, (center, radius) in enumerate(zip(report.centers, report.radii, strict=True)):
        shade = (radius - low) / (high - low) if high > low else 0.5
        face = colours(0.15 + 0.75 * shade)
        axes.add_patch(Circle(tuple(center.tolist()), float(radius), facecolor=face, edgecolor="black", linewidth=0.8, alpha=0.85))
        axes.text(
            float(center[0]),
            float(center[1]),
            str(circle),
            ha="center",
            va="center",
            fontsize=7,
            color="white" if shade < 0.6 else "black",
        )
    axes.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color="black", linewidth=1.5)
    for first, second in np.argwhere(np.triu(_gaps(report.centers, report.radii) <= _CONTACT, 1)):
        axes.plot(*report.centers[[first, second]].T, color="black", linewidth=0.6, alpha=0.6)
    to_go = "" if report.best_known is None else f"   (best known {report.best_known:.6f})"
    axes.set_title(f"{len(report.radii)} circles, sum of radii {report.sum_of_radii:.6f}{to_go}", fontsize=11)
    figure.savefig(path, format="png")
