"""Tasks: what evolution is let loose on.

`base` reads a task's folder, `catalog` finds tasks (bundled, in a folder, installed by somebody else's package), `scaffold`
writes a new one. Every other folder here is one bundled task: content, not code of this package. Its ``evaluate.py`` is
never imported here; a worker process does that.
"""
