"""Run as a program: puts itself behind Landlock rules and becomes an agent's command.

``python -P -m evolve.llm.agent_landlock RULES COMMAND...``, where RULES is a JSON object with lists ``write`` and ``hidden``
of paths. Everything else may be read and not written. The network stays.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evolve.evaluators.sandbox import landlock

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
#: Of ``/proc`` nothing else: to root, Landlock leaves the environment of every process readable, keys among it.
_KERNEL_FILES = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/filesystems")


def main(rules: str, command: Sequence[str]) -> None:
    """Becomes the command; returns only by an exception."""
    ruleset = landlock.make_ruleset(_rules(json.loads(rules)), network=True)
    landlock.restrict_self(ruleset)
    os.close(ruleset)
    os.execvp(command[0], list(command))


def _rules(paths: Mapping[str, Sequence[str]]) -> Iterator[tuple[Path, int]]:
    hidden = frozenset(Path(name).resolve() for name in paths["hidden"])
    yield from landlock.readable_without(Path("/"), hidden | {Path("/proc")})
    yield from ((Path(name), landlock.READ) for name in _KERNEL_FILES)
    yield from ((Path(name), landlock.USE) for name in _DEVICES)
    for name in paths["write"]:
        path = Path(name).resolve()
        if not any(path.is_relative_to(other) for other in hidden):
            yield path, landlock.READ | landlock.WRITE


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
