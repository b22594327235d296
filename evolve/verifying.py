"""Re-verification: what further evaluations, in other sandboxes, make of the first.

A program that would become the best counts only when another, fresh sandbox gives it the same score, with the same program
seed. Below level ``strong``, where a program may reach the fork server that it came from, that sandbox has a server of its
own, at level ``process`` one for each verification. That finds scores that hang on chance that is not seeded, on a clock,
or on something that was left behind.

Where the task says that its scores are noisy (`Objective.repeats`, `Objective.tolerance`), the best measured program is often a
lucky one. There a challenger is measured again and again, and the mean of all its measurements has to stay above the best's,
until it is as many as every best program had: so two means are compared that are equally sure, neither of them one lucky draw.
A challenger whose mean falls back is measured no more, which is where the savings of racing lie (Maron & Moore 1994; Birattari et
al. 2002). Unlike there no confidence bound is asked for: with a handful of measurements it would hold on to nearly every
challenger, and who is dropped stays in the population, only not as the best. The count is a fixed number and not one that is
spread over programs by their variances (Chen et al. 2000): the best's own evaluation is on record and is not changed any more.

A program never gains by it: its expected final score is at most its true mean, for it is given up at low means only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from evolve.evaluators.statistics import mean, standard_error
from evolve.program import Evaluation, Objective
from evolve.rng import derived_seed


def agree(first: float, second: float, tolerance: float) -> bool:
    """Whether two scores differ by no more than a part ``tolerance`` of the larger one (0: not at all)."""
    return abs(first - second) <= tolerance * max(abs(first), abs(second))


class Verification:
    """Collects the evaluations of one program until it is settled what counts.

    While `due`, evaluate it with `seed` in a fresh sandbox and give the result to `take`; then ``counts`` is what counts. It
    depends on the evaluations alone, never on when they come.
    """

    def __init__(self, first: Evaluation, objective: Objective, *, most: int, beats: Callable[[float], bool]) -> None:
        """Begins with the evaluation that the search made.

        Args:
            first: Of the search.
            objective: The task's: direction, tolerance, and whether scores are measured repeatedly.
            most: Evaluations at most, the first among them.
            beats: Says whether an objective is better than what it has to beat to be the best; the same answer every time.
        """
        self._objective = objective
        self._most = most
        self._beats = beats
        self._taken = [first]
        self._settled = False
        self.counts = first

    @property
    def due(self) -> bool:
        """Whether the program has to be evaluated once more: it would be the best, and that is not sure yet."""
        if self._settled or len(self._taken) >= self._most or self.counts.objective is None:
            return False
        return self._beats(self.counts.objective)

    def seed(self, seed: int) -> int:
        """Returns what the next evaluation's program is seeded with.

        Where a task is measured with several seeds, it is a new one: the same ones would measure nothing new. Otherwise it is
        the run's, so that only what is not seeded makes a difference.
        """
        return derived_seed(seed, len(self._taken), "verify") if self._objective.repeats > 1 else seed

    def take(self, further: Evaluation) -> None:
        """Takes the next evaluation; see `verified` for what the first two come to."""
        self._taken.append(further)
        self.counts = dataclasses.replace(
            self._that_counts(further),
            cpu_s=sum(each.cpu_s for each in self._taken),
            wall_s=sum(each.wall_s for each in self._taken),
        )

    def _that_counts(self, further: Evaluation) -> Evaluation:
        before = self.counts.objective
        if before is None or further.objective is None:
            feedback = f"It scored {before!r} at first; evaluated again in a fresh sandbox it failed:\n{further.feedback}"
            return dataclasses.replace(further, feedback=feedback, verified=False)
        if self._objective.repeats > 1:
            return dataclasses.replace(pooled(self._taken), verified=True)
        # With the same seed, what came out the same twice is no further measurement: both together would feign a smaller error.
        if len(self._taken) == 2 and before == further.objective:
            self._settled = True
            return dataclasses.replace(self.counts, verified=True)
        if self._within_tolerance(before, further.objective):
            return dataclasses.replace(pooled(self._taken), verified=True)
        self._settled = True
        return self._worse(before, further)

    def _within_tolerance(self, before: float, further: float) -> bool:
        tolerance = self._objective.tolerance
        return tolerance > 0 and agree(before, further, tolerance)

    def _worse(self, before: float, further: Evaluation) -> Evaluation:
        """Of two scores that should be the same, the worse: chance must not pay that the task knows nothing of."""
        oriented = self._objective.direction.oriented
        worse = min(self.counts, further, key=lambda evaluation: oriented(evaluation.objective or 0.0))
        feedback = (
            f"Evaluated twice it scored {before!r} and {further.objective!r}; the worse one counts. Does the program use "
            "chance that is not seeded, a clock, or something left from an earlier call?"
        )
        values = _values(self._taken)
        return dataclasses.replace(
            worse,
            feedback=f"{feedback}\n{worse.feedback}".rstrip(),
            values=values,
            standard_error=standard_error(values),
            verified=False,
        )


def pooled(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Combines several evaluations of one program, all with outcome ``OK``; their order does not matter to the objective."""
    objectives = [evaluation.objective for evaluation in evaluations if evaluation.objective is not None]
    values = _values(evaluations)
    return dataclasses.replace(evaluations[0], objective=mean(objectives), values=values, standard_error=standard_error(values))


def _values(evaluations: Sequence[Evaluation]) -> tuple[float, ...]:
    found: list[float] = []
    for evaluation in evaluations:
        if evaluation.values:
            found += evaluation.values
        elif evaluation.objective is not None:
            found.append(evaluation.objective)
    return tuple(found)
