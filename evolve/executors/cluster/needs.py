"""What one evaluation takes of a cluster, and how many of them a cluster holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from evolve.errors import TaskError
from evolve.program import Task

#: Accelerators whose parts can be had; whole ones otherwise (Ray's rule).
_FRACTIONAL_BELOW = 1.0
#: Ray counts in ten-thousandths; what is a hair short of a whole number is that number.
_HAIR = 1e-6


@dataclass(frozen=True, slots=True)
class Needs:
    """Resources of one evaluation.

    Attributes:
        cpus: Processors.
        gpus: Accelerators, a fraction of one or whole ones.
        memory_bytes: Memory.
        custom: A cluster's own resources, by name.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int = 0
    custom: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task) -> Needs:
        """Reads a task's limits and resources.

        Raises:
            TaskError: If a cluster cannot give out what it asks for.
        """
        if task.limits.gpus > _FRACTIONAL_BELOW and not float(task.limits.gpus).is_integer():
            raise TaskError(f"limits.gpus = {task.limits.gpus}: a cluster gives out parts of one accelerator, or whole ones")
        return cls(task.limits.cpus, task.limits.gpus, task.limits.memory_mb * 2**20, dict(task.resources))

    def by_name(self) -> dict[str, float]:
        """The same as Ray counts them; what is not needed is left out."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory_bytes), **self.custom}
        return {name: amount for name, amount in named.items() if amount > 0}

    def held_by(self, resources: Mapping[str, float]) -> int:
        """How many evaluations a node with these resources, all of them free, can run at once."""
        return min((_times(resources.get(name, 0.0), amount, name) for name, amount in self.by_name().items()), default=0)

    def text(self) -> str:
        """Says what one evaluation takes, for messages."""
        parts = [f"cpus {self.cpus:g}"]
        if self.gpus:
            parts.append(f"gpus {self.gpus:g}")
        parts.append(f"memory {self.memory_bytes / 2**20:g} MB")
        return ", ".join([*parts, *(f"{name} {amount:g}" for name, amount in self.custom.items())])


def _times(there: float, amount: float, name: str) -> int:
    """How often an amount of a resource can be taken at once."""
    if name == "GPU" and amount < _FRACTIONAL_BELOW:
        return math.floor(there) * math.floor(_FRACTIONAL_BELOW / amount + _HAIR)  # all of a part comes from one of them
    return math.floor(there / amount + _HAIR)
