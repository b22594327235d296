"""What a landscape is: a scoring rule over small programs whose optimum is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.landscapes.scripted import HABITS, Habits
from benchmarks.landscapes.text import PATH, Source, Vocabulary, read, written
from evolve.program import Direction, Evaluation, Files, Metric, Objective, Outcome, Task

#: How far from the initial program to the optimum the mark lies.
MARK_SHARE = 0.9
#: A tolerance that any two scores are within: they differ by at most twice the larger magnitude.
ANY_DIFFERENCE = 2.0


@dataclass(frozen=True, slots=True)
class Landscape:
    """A cheap task with a known optimum.

    Attributes:
        name: What the command line calls it.
        vocabulary: What its programs may say.
        initial: Where runs start.
        solution: A program that attains the optimum.
        optimum: The best objective that any program has.
        value: Returns the objective of a program that `Vocabulary.check` has nothing against, without noise.
        direction: Whether more or less is better.
        noise: Standard deviation of what is added to every measured objective.
        habits: The arms that a run has.
    """

    name: str
    vocabulary: Vocabulary
    initial: Source
    solution: Source
    optimum: float
    value: Callable[[Source], float]
    direction: Direction = Direction.MAXIMIZE
    noise: float = 0.0
    habits: tuple[Habits, ...] = HABITS

    def __post_init__(self) -> None:
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"noise must be finite and >= 0, got {self.noise}")
        names = [habits.name for habits in self.habits]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"habits must be at least one, each with a name of its own, got {names}")

    @property
    def files(self) -> Files:
        """Source of the initial program."""
        return {PATH: written(self.initial)}

    @property
    def mark(self) -> float:
        """The objective 90 % of the way from the initial program to the optimum."""
        start = self.value(self.initial)
        return start + MARK_SHARE * (self.optimum - start)

    def task(self) -> Task:
        """What a `Search` is made for."""
        tolerance = ANY_DIFFERENCE if self.noise else 0.0
        return Task(self.name, self.files, Objective(direction=self.direction, best_known=self.optimum, tolerance=tolerance))

    def passes(self, objective: float) -> bool:
        """Whether an objective is at the mark or beyond."""
        return self.direction.oriented(objective) >= self.direction.oriented(self.mark)

    def truth(self, files: Files) -> float | None:
        """The objective without noise; None of a program that fails."""
        return self.score(files, None).objective

    def score(self, files: Files, rng: np.random.Generator | None) -> Evaluation:
        """Scores a program as an evaluator would.

        Args:
            files: Its source.
            rng: Where noise is drawn from; None measures without.
        """
        try:
            source = read(files[PATH])
        except ValueError as error:
            return Evaluation(Outcome.CRASHED, feedback=str(error))
        wrong = self.vocabulary.check(source)
        if wrong:
            return Evaluation(Outcome.INVALID, feedback=wrong)
        objective = self.value(source)
        if rng is not None and self.noise:
            objective += float(rng.normal(0.0, self.noise))
        return Evaluation(
            Outcome.OK,
            objective,
            {"calls": Metric(float(len(source.calls)))},
            f"{source.skeleton} with {len(source.calls)} calls scored {objective!r}",
        )
