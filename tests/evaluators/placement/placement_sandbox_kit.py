"""Programs that place experts, in a real sandbox."""

from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Limits


def server():
    """A fork server at the strongest level that this machine has."""
    level = [report.level for report in available_levels() if report.available][-1]
    limits = Limits(timeout_s=30.0, wall_timeout_s=120.0, memory_mb=1024, preload=("numpy",))
    return ForkServer(SandboxSettings("initial.py", limits, level))


def scored(server, stage, text, *more):
    """What a stage says of a program."""
    with SandboxedProgram(server, {"initial.py": text}, 0) as program:
        return stage(program, *more)
