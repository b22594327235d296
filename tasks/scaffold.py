"""Writes a new task's folder: a small one that runs as it stands, with the places to change marked."""

from __future__ import annotations

import re
from pathlib import Path

from evolve.errors import ConfigError

_FILES = {
    "task.toml": """\
name = "{name}"
summary = "What the program should do, in one line."
subject = ""
program = ["initial.py"]  # several files are fine; the first holds what evaluate.py calls

[objective]
metric = "score"          # what the number is called
direction = "maximize"    # or "minimize"
# best_known = 1.0        # shown as distance to go
# best_known_source = "where that number comes from"

[limits]
timeout_s = 5             # CPU seconds of one evaluation
memory_mb = 1024
cpus = 1

[prompt]
background = "background.md"

# Programs that must not score, or not above a ceiling; `evolve task check` runs them.
# [[attacks]]
# path = "attacks/nan.py"
# about = "answers not-a-number"

# [run]                   # defaults for `evolve run`
# steps = 300
""",
    "initial.py": '''\
"""The initial program. Only the text between the markers may change."""

# EVOLVE-BLOCK-START
def solve(x: float) -> float:
    """Approximates sin(x) for 0 <= x <= pi."""
    return 0.9 - 0.3 * (x - 1.5) * (x - 1.5)


# EVOLVE-BLOCK-END
''',
    "evaluate.py": '''\
"""Scores a program. This file runs in a trusted process; the program runs in a sandbox of its own."""

import math

from evolve.evaluators import Invalid, IsolatedProgram, Score

POINTS = [i * math.pi / 20 for i in range(21)]


def evaluate(program: IsolatedProgram) -> Score:
    """Scores how near the program comes to sin(x): 1 is exact, 0 is no better than the constant 0."""
    answers = [program.call("solve", x) for x in POINTS]
    for x, answer in zip(POINTS, answers, strict=True):
        # Whatever comes back was made by untrusted code: check its type before its value.
        if isinstance(answer, bool) or not isinstance(answer, int | float) or not math.isfinite(answer):
            raise Invalid(f"solve({x:.3f}) returned {answer!r}, expected a finite number")
    error = sum((answer - math.sin(x)) ** 2 for x, answer in zip(POINTS, answers, strict=True))
    worst = max(POINTS, key=lambda x: abs(answers[POINTS.index(x)] - math.sin(x)))
    return Score(
        1 - error / sum(math.sin(x) ** 2 for x in POINTS),
        metrics={"largest_error": abs(answers[POINTS.index(worst)] - math.sin(worst))},
        feedback=f"the error is largest at x = {worst:.3f}",
    )
''',
    "background.md": "What somebody who improves the program should know: the problem, its limits, what has been tried.\n",
    "README.md": "# {name}\n\nWhat the problem is, how it is scored, where its numbers come from.\n",
}


def write(name: str, parent: Path) -> Path:
    """Writes a new task's folder and returns it.

    Args:
        name: The task's name: letters, digits and underscores.
        parent: The folder to make it in.

    Raises:
        ConfigError: If the name is not one, the folder exists, or it cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ConfigError(f"task name {name!r}: use a letter, then letters, digits and underscores")
    folder = parent / name
    if folder.exists():
        raise ConfigError(f"{folder} exists already; choose another name")
    try:
        folder.mkdir(parents=True)
        for path, text in _FILES.items():
            (folder / path).write_text(text.replace("{name}", name), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}") from error
    return folder
