"""Runs evaluators that share their program's process: those of other frameworks' tasks, and ours with ``shared_process = true``.

OpenEvolve's, SkyDiscover's and ShinkaEvolve's evaluators import the program themselves, so the two cannot be separated. The
whole of it runs inside the sandbox: a copy of the task's folder, the evaluator and the program, in one process that can reach
nothing else; plain data comes back by the sandbox's pipe, and `shared.SharedEvaluator` turns it into a score in the trusted
process. A program can therefore forge its own score, and nobody else's. Such scores are marked (``shared_process`` of tasks and
evaluations).

`folder` reads a task's folder, `verdict` turns replies into scores, `inside` holds what is copied into the sandbox.
"""

from evolve.evaluators.compat.shared import Framework, SharedEvaluator

__all__ = ["Framework", "SharedEvaluator"]
