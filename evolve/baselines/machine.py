"""Says where something was measured: processor, cores, and the versions that a result may depend on."""

from __future__ import annotations

import ast
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from evolve.config import RunConfig
from evolve.program import Task


def described(task: Task, config: RunConfig) -> str:
    """Describes this machine in one line, with the packages that a task's evaluator and programs import.

    Args:
        task: Which task is measured.
        config: Where, and how many measurements at once.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    place = f"{config.slots} at once" if config.executor == "local" else f"evaluated by {config.executor}"
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return f"{_processor()}, {cores} {'core' if cores == 1 else 'cores'}, {place}; {', '.join([system, *_versions(task)])}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine() or "unknown processor"


def _versions(task: Task) -> list[str]:
    """Lists distributions with their versions: `evolve` itself, and those of the modules that a task names."""
    distributions = packages_distributions()
    named = {name for module in _modules(task) for name in distributions.get(module, ())}
    found = []
    for name in ["evolve-platform", *sorted(named - {"evolve-platform"})]:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _modules(task: Task) -> set[str]:
    """Names of the modules that a task's evaluator imports, and its warm interpreter holds."""
    names = set(task.limits.preload)
    if task.folder is not None:
        try:
            tree = ast.parse((task.folder / "evaluate.py").read_text(encoding="utf-8"))
        except (OSError, ValueError, SyntaxError):  # said where it is loaded
            tree = ast.Module([], [])
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names
