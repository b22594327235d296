"""How long an evaluation may take before its evaluator counts as hung."""

from __future__ import annotations

from evolve.program import Task

#: What an evaluator may take beyond its program's wall-clock limit, where nobody says otherwise.
GRACE_S = 30.0


def program_s(task: Task) -> float:
    """Wall-clock seconds that programs of one evaluation may take: for what is executed, a sibling's and two builds as well."""
    if not task.command:
        return task.limits.wall_s
    build_s = task.build.limits(task.limits).wall_s if task.build is not None else 0.0
    return 2 * (task.limits.wall_s + build_s)


def deadline_s(task: Task, grace_s: float) -> float:
    """Wall-clock seconds of a whole evaluation, with what its evaluator may take for itself."""
    return task.objective.repeats * program_s(task) + grace_s
