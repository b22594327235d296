"""What a program is held to on an accelerator."""

from __future__ import annotations

from evolve.program import Limits


def memory_fraction(limits: Limits) -> float | None:
    """How much of an accelerator's memory torch is to keep to in a program's process, before the program loads.

    It binds torch's own allocator: an honest program beside others. One that allocates by other means is not stopped.

    Returns:
        A fraction below 1 for a part of one accelerator; None where there is nothing to set: no accelerator, whole ones, or a
        warm interpreter without torch.
    """
    if 0 < limits.gpus < 1 and "torch" in limits.preload:
        return limits.gpus
    return None
