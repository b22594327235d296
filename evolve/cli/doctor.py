"""The command `doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import typer

from evolve.archive.store import Archive
from evolve.cli.options import DEFAULT, ArchiveOption, JsonOption
from evolve.cli.output import print_json, stdout
from evolve.errors import EmptyArchive, EvolveError, ModelError
from evolve.evaluators import tools
from evolve.evaluators.sandbox import available_levels
from evolve.llm.agent_command import BUILT_IN
from evolve.llm.litellm import refuse_malware
from evolve.llm.specs import ModelSpec
from evolve.plugins import installed
from evolve.provenance import versions
from evolve.tasks.catalog import list_tasks


class Finding(NamedTuple):
    """What was looked at, whether it works, what was seen and what to do."""

    what: str
    ok: bool
    needed: bool
    detail: str


def doctor(archive: ArchiveOption = DEFAULT, json: JsonOption = False) -> None:
    """Says what works on this machine, and what to do about what does not."""
    findings = [*_python(), *_sandbox(), _archive(archive), *_tasks(), *_providers(), *_agents(), _ray(), *_plugins()]
    if json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            mark = "ok  " if finding.ok else "FAIL" if finding.needed else "–   "
            stdout.print(
                f"{mark}  {finding.what}: {finding.detail}",
                style="bold red" if finding.needed and not finding.ok else "",
                markup=False,
            )
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)


def _python() -> list[Finding]:
    packages = ", ".join(f"{name} {number}" for name, number in versions().items() if name not in ("python", "system"))
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        Finding("python", True, True, f"{platform.python_version()} on {platform.system()} {platform.release()}"),
        Finding("packages", "not installed" not in packages, True, packages),
        Finding("processors", True, True, f"{usable} usable; `evolve run --workers` uses as many by default, up to lag"),
    ]


def _sandbox() -> list[Finding]:
    levels = [Finding(f"isolation {report.level}", report.available, False, report.detail) for report in available_levels()]
    if not any(level.ok for level in levels):
        levels.append(Finding("isolation", False, True, "no level is available: programs cannot be run on this system"))
    return levels


def _archive(where: str) -> Finding:
    """Looks at the archive, or at whether one could be made."""
    if "://" not in where and not Path(where).exists():
        folder = Path(where).resolve().parent
        ok = folder.is_dir() and os.access(folder, os.W_OK)
        detail = f"{where} does not exist yet; {'the first run makes it' if ok else f'and {folder} cannot be written to'}"
        return Finding("archive", ok, True, detail)
    try:
        with Archive.open(where) as opened:
            return Finding("archive", True, True, f"{opened.name}, {len(opened.run_numbers())} run(s)")
    except EmptyArchive as error:
        return Finding("archive", True, True, str(error))
    except EvolveError as error:
        return Finding("archive", False, True, str(error))


def _tasks() -> list[Finding]:
    tasks, broken = list_tasks()
    found = [Finding("tasks", True, True, ", ".join(task.name for task in tasks))]
    for tool in dict.fromkeys(tool for task in tasks for tool in tools.needed(task)):
        users = ", ".join(task.name for task in tasks if tool in tools.needed(task))
        lacking = tools.missing([tool])
        found.append(Finding(tool, not lacking, False, f"needed by {users}{f'; {tools.hint(lacking)}' if lacking else ''}"))
    return found + [Finding("task", False, False, message) for message in broken]


def _providers() -> Iterator[Finding]:
    """Looks whether language models could be asked; of keys, only the names of their variables are ever printed."""
    for provider in ("openai", "anthropic"):
        variable = ModelSpec(provider, "MODEL").key_env or ""
        found = bool(os.environ.get(variable, "").strip())
        what = f"{variable} is {'' if found else 'not '}set"
        about = "" if found else f"; {provider}/MODEL needs it, {provider}/MODEL@URL and local arms do not"
        yield Finding(f"provider {provider}", found, False, what + about)
    try:
        version = importlib.metadata.version("litellm")
        refuse_malware(version)
    except importlib.metadata.PackageNotFoundError:
        about = "litellm is not installed; litellm/PROVIDER/MODEL needs it, other models and local arms do not"
        yield Finding("provider litellm", False, False, about)
    except ModelError as error:
        yield Finding("provider litellm", False, True, str(error))
    else:
        yield Finding("provider litellm", True, False, f"litellm {version}; it looks for the key of each provider itself")


def _agents() -> Iterator[Finding]:
    for name, command in BUILT_IN.items():
        path = shutil.which(command.command[0])
        lacking = f"not installed; agent/{name} needs it, local arms do not: {command.install}"
        yield Finding(f"agent {name}", path is not None, False, path or lacking)


def _ray() -> Finding:
    """Looks whether evaluations could run on a cluster; importing Ray would take a second."""
    try:
        version = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        about = "not installed; --executor ray, HOST:PORT and ray://HOST:PORT need it: pip install 'evolve-platform[ray]'"
        return Finding("ray", False, False, about)
    token = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ or Path("~/.ray/auth_token").expanduser().exists()
    return Finding("ray", True, False, f"ray {version}; a cluster's token is {'' if token else 'not '}to be found here")


def _plugins() -> list[Finding]:
    groups = ("evolve.mutators", "evolve.executors", "evolve.strategies", "evolve.embedders")
    names = [name for group in groups for name in installed(group)]
    return [Finding("plug-ins", True, True, ", ".join(names))] if names else []


COMMANDS = {"doctor": doctor}
