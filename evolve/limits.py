"""What running a program may cost: one evaluation, its smoke test, its build."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from evolve.errors import TaskError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluation of a program may use.

    Attributes:
        timeout_s: CPU seconds of the program's whole process tree.
        wall_timeout_s: Wall-clock seconds, the backstop for programs that wait; None is ``3 * timeout_s``. Wider than the
            CPU limit, so that a busy machine does not change an outcome.
        evaluator_timeout_s: Wall-clock seconds that the evaluator may take for itself beyond that, before it counts as hung: more
            for one that trains or simulates for minutes around the program's calls.
        memory_mb: Memory of the whole tree beyond what the warm interpreter already holds.
        cpus: Processors that one evaluation may keep busy.
        gpus: Accelerators that one evaluation may see, fractions allowed.
        scratch_mb: Files that it may keep at once, in memory; enforced at level ``strong``.
        max_processes: Processes and threads alive at once.
        max_reply_mb: Size of one reply of the program.
        preload: Modules imported once by the warm interpreter that programs are forked from.
    """

    timeout_s: float = 10.0
    wall_timeout_s: float | None = None
    evaluator_timeout_s: float = 30.0
    memory_mb: int = 1024
    scratch_mb: int = 256
    cpus: int = 1
    gpus: float = 0.0
    max_processes: int = 32
    max_reply_mb: int = 16
    preload: tuple[str, ...] = ("numpy",)

    def __post_init__(self) -> None:
        for name in ("timeout_s", "evaluator_timeout_s", "memory_mb", "scratch_mb", "cpus", "max_processes", "max_reply_mb"):
            if not getattr(self, name) > 0:
                raise TaskError(f"limits.{name} must be > 0, got {getattr(self, name)!r}")
        if self.gpus < 0:
            raise TaskError(f"limits.gpus must be >= 0, got {self.gpus!r}")
        if self.wall_timeout_s is not None and self.wall_timeout_s < self.timeout_s:
            raise TaskError(f"limits.wall_timeout_s is {self.wall_timeout_s}, less than timeout_s = {self.timeout_s}")

    @property
    def wall_s(self) -> float:
        """The wall-clock deadline in seconds."""
        return 3 * self.timeout_s if self.wall_timeout_s is None else self.wall_timeout_s


@dataclass(frozen=True, slots=True)
class Smoke:
    """What a smoke test may use, and must yield, where ``evaluate.py`` defines ``smoke(program)``: it runs before ``evaluate``.

    Attributes:
        timeout_s: CPU seconds that it may use meanwhile; None for as many as the whole evaluation.
        threshold: The objective that a smoke test's score must reach; None if any will do.
    """

    timeout_s: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise TaskError(f"smoke.timeout_s must be > 0, got {self.timeout_s!r}")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise TaskError(f"smoke.threshold must be finite, got {self.threshold!r}")


@dataclass(frozen=True, slots=True)
class Build:
    """Turns a program's files into what is executed, once per evaluation, in the same sandbox.

    Attributes:
        command: What is run in the program's folder, word by word, without a shell.
        timeout_s: CPU seconds of it and all that it starts; they are not the program's.
        wall_timeout_s: Wall-clock seconds; None is ``3 * timeout_s``.
        memory_mb: Memory of the whole tree.
        max_processes: Processes and threads alive at once.
    """

    command: tuple[str, ...]
    timeout_s: float = 60.0
    wall_timeout_s: float | None = None
    memory_mb: int = 2048
    max_processes: int = 64

    def __post_init__(self) -> None:
        if not self.command:
            raise TaskError('build.command names nothing; write it word by word, such as ["g++", "-O2", "main.cpp"]')

    def limits(self, of_program: Limits) -> Limits:
        """The limits of the build: its own, and otherwise the program's."""
        return replace(
            of_program,
            timeout_s=self.timeout_s,
            wall_timeout_s=self.wall_timeout_s,
            memory_mb=self.memory_mb,
            max_processes=self.max_processes,
        )
