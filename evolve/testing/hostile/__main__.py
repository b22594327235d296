"""Tries every hostile program on a task and prints a table of what happened."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from evolve.errors import EvolveError
from evolve.evaluators.sandbox import strongest_level
from evolve.program import Isolation
from evolve.tasks.catalog import find
from evolve.testing.hostile.programs import PROGRAMS
from evolve.testing.hostile.record import Hostile
from evolve.testing.hostile.runner import Observation, try_all


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        The exit status: 1 if something went through that the level is said to stop, 2 for a wrong argument.
    """
    parser = argparse.ArgumentParser(prog="python -m evolve.testing.hostile", description=__doc__)
    parser.add_argument("task", help="a bundled or installed task, or a folder with task.toml")
    parser.add_argument("--isolation", type=Isolation, choices=list(Isolation), help="the level to try; the strongest by default")
    parser.add_argument("--program", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    arguments = parser.parse_args(words)
    try:
        programs = _chosen(arguments.program)
        observations = try_all(find(arguments.task), arguments.isolation or strongest_level(), programs)
    except (EvolveError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(_json(observations) if arguments.json else _table(observations))
    return int(any(observation.failed for observation in observations))


def _chosen(names: Sequence[str]) -> tuple[Hostile, ...]:
    known = {program.name: program for program in PROGRAMS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no hostile program is called {unknown[0]!r}; there are: {', '.join(known)}")
    return tuple(known[name] for name in names) or PROGRAMS


def _json(observations: Sequence[Observation]) -> str:
    rows = [
        {
            "program": one.name,
            "tries": one.tried,
            "isolation": one.level,
            "outcome": one.outcome,
            "objective": one.objective,
            "honest": one.honest,
            "seen": dict(one.signs),
            "claimed": one.claimed,
            "verdict": one.verdict,
        }
        for one in observations
    ]
    return json.dumps(rows, indent=2) + "\n"


def _table(observations: Sequence[Observation]) -> str:
    width = max(len(one.name) for one in observations)
    lines = []
    for one in observations:
        lines.append(f"{one.name:{width}}  {one.verdict:8}{one.outcome:14}{one.tried}")
        if one.signs:
            seen = " ".join(one.seen.split())
            lines.append(f"{'':{width}}  {'':8}seen: {seen[:150]}")
    counts = {verdict: sum(one.verdict == verdict for one in observations) for verdict in ("stopped", "open", "FAILED")}
    said = f"{counts['stopped']} stopped, {counts['open']} went through as the level allows, {counts['FAILED']} FAILED"
    return "\n".join([*lines, "", f"level {observations[0].level}: {len(observations)} programs: {said}", ""])


if __name__ == "__main__":
    sys.exit(main())
