"""How programs are scored.

`base` is what a task's ``evaluate.py`` sees: `IsolatedProgram`, `Score`, `Metric`, `Invalid`; `calls` is how the two call
each other back and forth: `Callback`, `Refused`, hooks; `executed` is what comes of programs that are executed, in any
language. `sandbox` runs untrusted source; its docstring says what it does not prevent. `timing` compares the times of two
programs; `tools` finds the compilers that programs need; `archived` keeps arrays in files. Everything else here is a reusable
engine, one subject each, that tasks build their scorers from: `packing` (circles in a square, checked exactly), `moe` (language
models of experts, trained under a program's balancing; needs torch), `placement` (experts on GPUs, by a program's policy).
"""

from evolve.evaluators.base import (
    Callback,
    Completed,
    Direction,
    Invalid,
    IsolatedProgram,
    Metric,
    ProgramFailed,
    Refused,
    Score,
    Session,
    SiblingFailed,
)

__all__ = [
    "Callback",
    "Completed",
    "Direction",
    "Invalid",
    "IsolatedProgram",
    "Metric",
    "ProgramFailed",
    "Refused",
    "Score",
    "Session",
    "SiblingFailed",
]
