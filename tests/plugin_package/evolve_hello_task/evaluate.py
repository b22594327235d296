"""Scores a program by the height of a parabola where it says."""

import math

from evolve.evaluators import Invalid, Score


def evaluate(program):
    x = program.call("where")
    if isinstance(x, bool) or not isinstance(x, int | float) or not math.isfinite(x) or abs(x) > 1e6:
        raise Invalid(f"where() returned {x!r}, expected a number")
    return Score((x - 3) ** 2, metrics={"x": x})
