"""The stages of a task's evaluator: a smoke test, the evaluation itself, held-out data, paired measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evolve.evaluators.base import Invalid, Score, scored
from evolve.program import Direction, Smoke

Scorer = Callable[[Any], Any]  # Any: takes an IsolatedProgram; what an author's function returns is checked


@dataclass(frozen=True, slots=True)
class Cascade:
    """The functions of an ``evaluate.py``.

    Attributes:
        evaluate: Scores a program.
        smoke: Runs first, in the same sandbox; a program that fails it is not evaluated. None for no such stage.
        holdout: Scores a finished result; never runs during a search. None for none.
        paired: Measures a program once, with randomness from the seed that it is given and from nowhere else; never runs during a
            search. None for none.
    """

    evaluate: Scorer
    smoke: Scorer | None = None
    holdout: Scorer | None = None
    paired: Callable[[Any, int], Any] | None = None  # Any: see `Scorer`


def check_smoke(answer: object, smoke: Smoke, direction: Direction) -> None:
    """Says whether what a smoke test returned lets a program go on.

    Args:
        answer: None, or a `Score` that is compared with the threshold.
        smoke: The threshold.
        direction: Of the task's objective.

    Raises:
        Invalid: If the score is worse than the threshold, or not finite.
        TypeError: If it is neither; the task's author has something to mend.
    """
    if answer is None:
        return
    if not isinstance(answer, Score):
        raise TypeError(
            f"smoke must return None or a Score, or raise Invalid; it returned an object of type {type(answer).__name__}"
        )
    found = scored(answer)
    if found.objective is None:
        raise Invalid(f"the smoke test's score does not count: {found.feedback}")
    threshold = smoke.threshold
    if threshold is not None and direction.oriented(found.objective) < direction.oriented(threshold):
        least = "at least" if direction is Direction.MAXIMIZE else "at most"
        feedback = f"\n{found.feedback}" if found.feedback else ""
        raise Invalid(f"the smoke test gave {found.objective!r}; {least} {threshold!r} is needed to be evaluated{feedback}")
