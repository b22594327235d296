"""Re-verification: what a second evaluation, in another sandbox, makes of the first.

A program that would become the best counts only when another, fresh sandbox gives it the same score, with the same program
seed. Below level ``strong``, where a program may reach the fork server that it came from, that sandbox has a server of its
own, at level ``process`` one for each verification. That finds scores that hang on chance that is not seeded, on a clock,
or on something that was left behind.
"""

from __future__ import annotations

import dataclasses

from evolve.evaluators.statistics import mean, standard_error
from evolve.program import Evaluation, Objective


def agree(first: float, second: float, tolerance: float) -> bool:
    """Whether two scores differ by no more than a part ``tolerance`` of the larger one (0: not at all)."""
    return abs(first - second) <= tolerance * max(abs(first), abs(second))


def verified(first: Evaluation, second: Evaluation, objective: Objective) -> Evaluation:
    """Combines two evaluations of one program into the one that counts.

    Args:
        first: Of the search, with outcome ``OK``.
        second: Of a fresh sandbox.
        objective: The task's: direction, tolerance, and whether scores are measured repeatedly.

    Returns:
        The first if both agree, or a failure if the second is one. If they differ: of repeated measurements all together, of
        single ones the worse.
    """
    counts = _that_counts(first, second, objective)
    return dataclasses.replace(counts, cpu_s=first.cpu_s + second.cpu_s, wall_s=first.wall_s + second.wall_s)


def _that_counts(first: Evaluation, second: Evaluation, objective: Objective) -> Evaluation:
    if first.objective is None or second.objective is None:
        feedback = f"It scored {first.objective!r} at first; evaluated again in a fresh sandbox it failed:\n{second.feedback}"
        return dataclasses.replace(second, feedback=feedback, verified=False)
    # Measurements that came out the same twice are no further ones: together they would feign a smaller error.
    if objective.repeats > 1 and first.values != second.values:
        return dataclasses.replace(pooled(first, second), verified=True)
    if agree(first.objective, second.objective, objective.tolerance):
        return dataclasses.replace(first, verified=True)
    oriented = objective.direction.oriented
    worse = min(first, second, key=lambda evaluation: oriented(evaluation.objective or 0.0))
    feedback = (
        f"Evaluated twice it scored {first.objective!r} and {second.objective!r}; the worse one counts. Does the program use "
        "chance that is not seeded, a clock, or something left from an earlier call?"
    )
    return dataclasses.replace(worse, feedback=f"{feedback}\n{worse.feedback}".rstrip(), verified=False)


def pooled(first: Evaluation, second: Evaluation) -> Evaluation:
    """Combines the repeated measurements of two evaluations, both with outcome ``OK``."""
    values = (*_values(first), *_values(second))
    return dataclasses.replace(first, objective=mean(values), values=values, standard_error=standard_error(values))


def _values(evaluation: Evaluation) -> tuple[float, ...]:
    if evaluation.values or evaluation.objective is None:
        return evaluation.values
    return (evaluation.objective,)
