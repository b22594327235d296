"""Where a result comes from: versions, the task's commit, and a command that repeats the run."""

from __future__ import annotations

import dataclasses
import json
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evolve.config import RunConfig, resolve, with_limit
from evolve.program import SHARED_ORIGINS, Task
from evolve.settings import plain

_PACKAGES = ("evolve-platform", "numpy", "sqlalchemy", "jinja2", "openai", "anthropic")

#: Settings with an option of their own on the command line.
_OPTIONS = {
    "steps": "--steps",
    "seed": "--seed",
    "strategy": "--strategy",
    "order": "--order",
    "max_seconds": "--max-seconds",
    "budget_usd": "--budget-usd",
}

#: Where a run's evaluations happen does not change what they find.
_IMMATERIAL = {"workers", "executor", "isolation"}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result may depend on."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit_of(folder: Path | None) -> str:
    """Returns the git commit of a task's folder, with ``+changes`` when files differ from it; empty outside git."""
    if folder is None:
        return ""
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return ""
    changed = _git(folder, "status", "--porcelain", "--", ".")
    return f"{head}+changes" if changed else head


def _git(folder: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def repeat_command(task: Task, config: RunConfig, starts: Sequence[str] = ()) -> str:
    """Writes the command line that repeats a run; empty for an inline task, which has no name to give.

    Args:
        task: What is being solved.
        config: The run's configuration.
        starts: What names its starting points; none where it starts from the task's initial program.
    """
    if task.origin == "inline":
        return ""
    in_folder = task.origin == "folder" or task.origin in SHARED_ORIGINS
    words = ["evolve", "run", str(task.folder) if in_folder else task.name]
    given, defaults = plain(_uncalibrated(task, config)), plain(resolve(task))
    words += [word for start in starts for word in ("--start", start)]
    words += ["--steps", str(config.steps), "--seed", str(config.seed)]
    for key, value in given.items():
        if key in _IMMATERIAL or key in ("steps", "seed") or value == defaults[key]:
            continue
        if key == "arms":
            words += [word for arm in value for word in ("--arm", arm)]
        elif key in _OPTIONS:
            words += [_OPTIONS[key], str(value)]
        else:
            changed = (
                {name: item for name, item in value.items() if item != defaults[key].get(name)} if isinstance(value, dict) else {}
            )
            words += [word for name, item in changed.items() for word in ("--set", f"{key}.{name}={_toml(item)}")]
            words += [] if isinstance(value, dict) else ["--set", f"{key}={_toml(value)}"]
    return shlex.join(words)


def _uncalibrated(task: Task, config: RunConfig) -> RunConfig:
    """Takes out of a configuration what a new run finds by itself."""
    bare = dataclasses.replace(config, novelty=dataclasses.replace(config.novelty, min_distance=None))
    return bare if with_limit(task, bare) == config else config


def _toml(value: object) -> str:
    """Writes a plain value as `evolve.settings.assign` reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        # TOML has no null: what is None is left out, and is None again.
        pairs = [f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items() if item is not None]
        return "{" + ", ".join(pairs) + "}"
    return repr(value) if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False)
