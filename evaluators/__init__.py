"""How programs are scored.

`base` is what a task's ``evaluate.py`` sees: `IsolatedProgram`, `Score`, `Metric`, `Invalid`; `calls` is how the two call
each other back and forth: `Callback`, `Refused`, hooks. `sandbox` runs untrusted
source; its docstring says what it does not prevent. Everything else here is a reusable engine, one subject each, that
tasks build their scorers from: `packing` (circles in a square, checked exactly).
"""

from evolve.evaluators.base import Callback, Direction, Invalid, IsolatedProgram, Metric, ProgramFailed, Refused, Score

__all__ = ["Callback", "Direction", "Invalid", "IsolatedProgram", "Metric", "ProgramFailed", "Refused", "Score"]
