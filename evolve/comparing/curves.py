"""Anytime curves: the best objective so far, over steps, dollars or seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from evolve.archive.store import Archive
from evolve.archive.trajectory import ProgressPoint, progress
from evolve.errors import ArchiveError
from evolve.program import Direction


class Axis(StrEnum):
    """What a budget is counted in."""

    STEPS = "steps"
    USD = "usd"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Curve:
    """The best objective so far of one run, a step function that changes where a step ends.

    Attributes:
        programs: Of each point, the identifier of the best program so far.
        best: ``(n,)`` its objective.
        steps: ``(n,)`` steps that had ended; 0 for the initial program, which comes first.
        usd: ``(n,)`` dollars that they had cost.
        seconds: ``(n,)`` wall-clock seconds that the run had been driven.
    """

    programs: tuple[str, ...]
    best: np.ndarray
    steps: np.ndarray
    usd: np.ndarray
    seconds: np.ndarray

    @property
    def initial(self) -> float:
        """What the initial program scored."""
        return float(self.best[0])

    def along(self, axis: Axis) -> np.ndarray:
        """Returns ``(n,)`` how much had been spent at each point, never falling; the initial program counts as there from 0."""
        spent = {Axis.STEPS: self.steps, Axis.USD: self.usd, Axis.SECONDS: self.seconds}[axis]
        return np.concatenate(([0.0], spent[1:]))

    def place(self, axis: Axis, budget: float) -> int:
        """Returns the last point that a budget pays for."""
        return int(np.searchsorted(self.along(axis), budget, side="right")) - 1

    def on_grid(self, axis: Axis, grid: np.ndarray) -> np.ndarray:
        """Reads the best objective so far at budgets; after its last step a run keeps what it had.

        Args:
            axis: What ``grid`` counts.
            grid: ``(g,)`` budgets >= 0.

        Returns:
            ``(g,)`` objectives.
        """
        return self.best[np.searchsorted(self.along(axis), grid, side="right") - 1]


def make_curve(points: Sequence[ProgressPoint], direction: Direction) -> Curve:
    """Folds a run's finished steps into its curve; among equals the earlier program stays the best.

    Raises:
        ValueError: If the first point, the initial program, has no objective.
    """
    if not points or points[0].objective is None or points[0].program is None:
        raise ValueError("a curve begins with an initial program that scored")
    programs, best = [points[0].program], [points[0].objective]
    for point in points[1:]:
        better = point.objective is not None and direction.oriented(point.objective) > direction.oriented(best[-1])
        programs.append(point.program if better and point.program is not None else programs[-1])
        best.append(point.objective if better and point.objective is not None else best[-1])
    return Curve(
        tuple(programs),
        np.array(best, dtype=float),
        np.array([point.steps for point in points], dtype=float),
        np.array([point.usd for point in points], dtype=float),
        np.array([point.seconds for point in points], dtype=float),
    )


def read_curve(archive: Archive, run: int) -> Curve:
    """Reads the curve of a recorded run.

    Raises:
        ArchiveError: If its initial program has not scored.
    """
    record = archive.run_record(run)
    try:
        return make_curve(progress(archive, run), Direction(record.direction))
    except ValueError as error:
        raise ArchiveError(f"run {record.name} has nothing to compare: its initial program has not scored") from error


def areas(curves: Sequence[Curve], axis: Axis, budget: float, direction: Direction) -> np.ndarray:
    """Computes the area under each curve, in [0, 1] and free of the objective's scale.

    The best so far is placed between the worst initial objective of all curves (0) and the best objective that any of them
    reached within the budget (1), and averaged over the budget: 1 is to have had that best from the start, 0 is never to have
    gained anything. So the areas of one comparison compare with each other, and with no other comparison's. Where no curve
    gains anything, all areas are 0.

    Source: López-Ibáñez & Stützle 2014, who measure anytime behaviour by the area that quality over time covers; the scale
    between floor and top is ours.

    Args:
        curves: One or more.
        axis: What ``budget`` counts.
        budget: Where the average ends, > 0.
        direction: Whether more is better.

    Returns:
        ``(len(curves),)`` areas.
    """
    sign = direction.oriented(1.0)
    floor = min(sign * curve.initial for curve in curves)
    top = max(sign * float(curve.best[curve.place(axis, budget)]) for curve in curves)
    if not top > floor:
        return np.zeros(len(curves))
    found = []
    for curve in curves:
        kept = curve.place(axis, budget) + 1
        edges = np.append(curve.along(axis)[:kept], budget)
        # Halved, because the span of two finite numbers may be none.
        height = (sign * curve.best[:kept] / 2 - floor / 2) / (top / 2 - floor / 2)
        found.append(float(np.sum(height * np.diff(edges)) / budget))
    # Rounding may lead a hair beyond.
    return np.array([min(1.0, max(0.0, area)) for area in found])
