"""What a new task's folder is made of, per language: a small task that runs as it stands, with the places to change marked."""

from __future__ import annotations

from collections.abc import Mapping

_MANIFEST = """\
name = "{name}"
summary = "What the program should do, in one line."
subject = ""
program = ["@ENTRY@"]  # several files are fine; the first holds what evaluate.py calls
@BUILD@
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
# path = "attacks/nan@ENDING@"
# about = "answers not-a-number"

# Programs that others are measured against; `evolve task baselines` runs them.
# [[baselines]]
# name = "usual"
# path = "baselines/usual@ENDING@"
# about = "what one would do without thinking"

@RUN@
"""
_NO_COMMAND = """\
# [run]                   # defaults for `evolve run`
# steps = 300"""
_COMMAND = """\
[run]
command = [@COMMAND@]  # what program.execute and program.session run
# steps = 300             # defaults for `evolve run`"""

_PYTHON = '''\
"""The initial program. Only the text between the markers may change."""

# EVOLVE-BLOCK-START
def solve(x: float) -> float:
    """Approximates sin(x) for 0 <= x <= pi."""
    return 0.9 - 0.3 * (x - 1.5) * (x - 1.5)


# EVOLVE-BLOCK-END
'''
_CPP = """\
// The initial program. Only the text between the markers may change.
#include <cstdio>

// EVOLVE-BLOCK-START
// Approximates sin(x) for 0 <= x <= pi.
double solve(double x) {
  return 0.9 - 0.3 * (x - 1.5) * (x - 1.5);
}
// EVOLVE-BLOCK-END

int main() {
  for (double x; scanf("%lf", &x) == 1;) printf("%.17g\\n", solve(x));
}
"""
_JAVASCRIPT = """\
// The initial program. Only the text between the markers may change.
'use strict';

// EVOLVE-BLOCK-START
// Approximates sin(x) for 0 <= x <= pi.
function solve(x) {
  return 0.9 - 0.3 * (x - 1.5) * (x - 1.5);
}
// EVOLVE-BLOCK-END

const words = require('fs').readFileSync(0, 'utf8').split(/\\s+/).filter(Boolean);
for (const word of words) console.log(solve(Number(word)));
"""

_EVALUATE = '''\
"""Scores a program. This file runs in a trusted process; the program runs in a sandbox of its own."""

import math

from evolve.evaluators import Invalid, IsolatedProgram, Score

POINTS = [i * math.pi / 20 for i in range(21)]


def evaluate(program: IsolatedProgram) -> Score:
    """Scores how near the program comes to sin(x): 1 is exact, 0 is no better than the constant 0."""
@ANSWERS@
    error = sum((answer - math.sin(x)) ** 2 for x, answer in zip(POINTS, answers, strict=True))
    worst = max(POINTS, key=lambda x: abs(answers[POINTS.index(x)] - math.sin(x)))
    return Score(
        1 - error / sum(math.sin(x) ** 2 for x in POINTS),
        metrics={"largest_error": abs(answers[POINTS.index(worst)] - math.sin(worst))},
        feedback=f"the error is largest at x = {worst:.3f}",
    )
'''
_CALLED = """\
    answers = [program.call("solve", x) for x in POINTS]
    for x, answer in zip(POINTS, answers, strict=True):
        # Whatever comes back was made by untrusted code: check its type before its value.
        if isinstance(answer, bool) or not isinstance(answer, int | float) or not math.isfinite(answer):
            raise Invalid(f"solve({x:.3f}) returned {answer!r}, expected a finite number")"""
_EXECUTED = """\
    lines = program.execute(stdin="\\n".join(map(repr, POINTS))).stdout.split()
    if len(lines) != len(POINTS):
        raise Invalid(f"{len(POINTS)} numbers were asked for, {len(lines)} were printed")
    try:
        answers = [float(line) for line in lines]
    except ValueError as error:
        raise Invalid(f"a number is expected on each line: {error}") from None
    # Whatever was printed was made by untrusted code.
    if not all(map(math.isfinite, answers)):
        raise Invalid("every number must be finite")"""

_TEXTS = {
    "background.md": "What somebody who improves the program should know: the problem, its limits, what has been tried.\n",
    "README.md": "# {name}\n\nWhat the problem is, how it is scored, where its numbers come from.\n",
}


def _folder(entry: str, source: str, answers: str, *, build: str = "", command: str = "") -> Mapping[str, str]:
    manifest = _MANIFEST.replace("@ENTRY@", entry).replace("@ENDING@", entry[entry.index(".") :])
    manifest = manifest.replace("@BUILD@\n", f"\n[build]\ncommand = [{build}]\n\n" if build else "\n")
    manifest = manifest.replace("@RUN@", _COMMAND.replace("@COMMAND@", command) if command else _NO_COMMAND)
    return {"task.toml": manifest, entry: source, "evaluate.py": _EVALUATE.replace("@ANSWERS@", answers), **_TEXTS}


#: Path -> text of every file, by language; ``{name}`` stands for the task's name.
LANGUAGES: Mapping[str, Mapping[str, str]] = {
    "python": _folder("initial.py", _PYTHON, _CALLED),
    "cpp": _folder(
        "main.cpp",
        _CPP,
        _EXECUTED,
        build='"g++", "-O2", "-std=c++17", "-o", "program", "main.cpp"',
        command='"./program"',
    ),
    "javascript": _folder("initial.js", _JAVASCRIPT, _EXECUTED, command='"node", "initial.js"'),
}
