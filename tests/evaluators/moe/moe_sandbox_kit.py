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


def server(**limits):
    """A fork server at the strongest level that this machine has."""
    level = [report.level for report in available_levels() if report.available][-1]
    return ForkServer(SandboxSettings("initial.py", dataclasses.replace(LIMITS, **limits), level))


@contextmanager
def opened(server, source, *sizes, allowed=tuple(HOOKS)):
    """A program as a method, for trainings of these sizes."""
    with SandboxedProgram(server, {"initial.py": source}, 0) as program, sandboxed(program, allowed, sizes or [TINY]) as method:
        yield method
