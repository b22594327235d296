"""How long an evaluation may take before its evaluator counts as hung."""

from __future__ import annotations

from evolve.program import Task


def program_s(task: Task) -> float:
    """Wall-clock seconds that programs of one evaluation may take: for what is executed, a sibling's and two builds as well."""
    if not task.command:
        return task.limits.wall_s
    build_s = task.build.limits(task.limits).wall_s if task.build is not None else 0.0
    return 2 * (task.limits.wall_s + build_s)


def own_s(task: Task, grace_s: float | None = None) -> float:
    """Wall-clock seconds that an evaluator may take for itself: those that an executor was given, or else the task's.

    Raises:
        ValueError: If an executor was given none that is positive.
    """
    if grace_s is None:
        return task.limits.evaluator_timeout_s
    if not grace_s > 0:
        raise ValueError(f"evaluator_grace_s must be > 0, got {grace_s}")
    return grace_s


def deadline_s(task: Task, grace_s: float | None = None) -> float:
    """Wall-clock seconds of a whole evaluation, with what its evaluator may take for itself (see `own_s`)."""
    return task.objective.repeats * program_s(task) + own_s(task, grace_s)
