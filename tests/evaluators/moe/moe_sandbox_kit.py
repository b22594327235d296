"""Programs of the lab in a real sandbox."""

import dataclasses
from contextlib import contextmanager

from moe_kit import TINY

from evolve.evaluators.moe.calling import sandboxed
from evolve.evaluators.moe.vocabulary import HOOKS
from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Limits

LIMITS = Limits(timeout_s=30.0, wall_timeout_s=120.0, memory_mb=1024, preload=("numpy", "torch"))
#: Numbers of experts that a program may end up with: how many it adds is known once it has been asked.
ADDED = (0, 1, 2)


def server(**limits):
    """A fork server at the strongest level that this machine has."""
    level = [report.level for report in available_levels() if report.available][-1]
    return ForkServer(SandboxSettings("initial.py", dataclasses.replace(LIMITS, **limits), level))


@contextmanager
def opened(server, source, size=TINY, allowed=tuple(HOOKS)):
    """A program as a method."""
    sizes = [size.letters(size.model.experts * (1 + added)) for added in ADDED]
    with SandboxedProgram(server, {"initial.py": source}, 0) as program, sandboxed(program, allowed, sizes) as method:
        yield method
