"""Compilers and interpreters that a task's programs need, where a sandbox looks for them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from evolve.errors import TaskError
from evolve.evaluators.sandbox import confinement
from evolve.program import Task

#: What to install on Debian and Ubuntu, where the package is called otherwise.
_PACKAGES: Mapping[str, str] = {
    "cargo": "cargo",
    "clang++": "clang",
    "go": "golang-go",
    "java": "default-jre-headless",
    "javac": "default-jdk-headless",
    "lua": "lua5.4",
    "node": "nodejs",
    "octave": "octave-cli",
    "R": "r-base-core",
    "Rscript": "r-base-core",
}


def needed(task: Task) -> tuple[str, ...]:
    """Names the tools of a task: those that it requires, and those that its commands begin with."""
    commands = [task.build.command] if task.build is not None else []
    first = [command[0] for command in (*commands, task.command) if command and "/" not in command[0]]
    return tuple(dict.fromkeys((*task.requires, *first)))


def missing(names: Sequence[str]) -> tuple[str, ...]:
    """Names those that no sandbox would find here."""
    return tuple(name for name in names if shutil.which(name, path=confinement.PATH) is None)


def hint(names: Sequence[str]) -> str:
    """Says where missing tools were looked for and how to get them."""
    packages = " ".join(dict.fromkeys(_PACKAGES.get(name, name) for name in names))
    return f"looked in {confinement.PATH}; on Debian or Ubuntu: apt-get install {packages}"


def require(task: Task) -> None:
    """Makes sure that a task's tools are there.

    Raises:
        TaskError: If not, with what to install.
    """
    lacking = missing(needed(task))
    if lacking:
        raise TaskError(f"task {task.name} needs {' and '.join(lacking)}, not found on this machine ({hint(lacking)})")
