"""How programs are scored.

`base` is what a task's ``evaluate.py`` sees: `IsolatedProgram`, `Score`, `Metric`, `Invalid`. `sandbox` runs untrusted
source; its docstring says what it does not prevent. Everything else here is a reusable engine, one subject each, that
tasks build their scorers from: `packing` (circles in a square, checked exactly).
"""

from evolve.evaluators.base import Direction, Invalid, IsolatedProgram, Metric, ProgramFailed, Score

__all__ = ["Direction", "Invalid", "IsolatedProgram", "Metric", "ProgramFailed", "Score"]
