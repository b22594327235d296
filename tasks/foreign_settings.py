"""Reads what matters of other frameworks' configuration files: limits, cascade, and what a mutator should know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolve.errors import ConfigError
from evolve.evaluators.compat import Framework
from evolve.program import Limits

#: Theirs bound nothing but time; these are wide enough for what they evaluate.
_LIMITS = Limits(timeout_s=300.0, memory_mb=4096, scratch_mb=512, max_processes=64)
#: Seconds, and thresholds of a cascade, where a configuration names none (OpenEvolve 0.4.0, SkyDiscover 0.1.0).
_TIMEOUTS_S = {Framework.OPENEVOLVE: 300.0, Framework.SKYDISCOVER: 360.0}
_THRESHOLDS = {Framework.OPENEVOLVE: (0.5, 0.75, 0.9), Framework.SKYDISCOVER: (0.3, 0.6)}
_MAX_STAGES = {Framework.OPENEVOLVE: 3, Framework.SKYDISCOVER: 2}
_EVALUATOR_KEYS = frozenset(("timeout", "cascade_evaluation", "cascade_thresholds", "memory_limit_mb", "evaluator_args"))
_SKYDISCOVER_KEYS = frozenset(("search", "monitor", "agentic", "diff_based_generation", "max_solution_length", "context_builder"))


@dataclass(frozen=True, slots=True)
class Settings:
    """What a configuration comes to here.

    Attributes:
        limits: Of one evaluation, without anything to preload.
        thresholds: Of a cascade's stages; None for no cascade.
        max_stages: Stages of a cascade at most.
        arguments: Keyword arguments for ``evaluate``.
        background: What a mutator should know.
        ignored: Keys without a meaning here.
    """

    limits: Limits = _LIMITS
    thresholds: tuple[float, ...] | None = None
    max_stages: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)  # Any: values of a YAML file
    background: str = ""
    ignored: tuple[str, ...] = ()


def openevolve_settings(folder: Path, framework: Framework, stages: int) -> Settings:
    """Reads ``config.yaml`` of OpenEvolve or SkyDiscover; their defaults where it says nothing.

    Args:
        folder: The task's folder.
        framework: Whose defaults apply.
        stages: How many stages the evaluator defines.

    Raises:
        ConfigError: If the file does not parse, or a value that matters has the wrong type.
    """
    table = _config(folder)
    evaluator = _section(table, "evaluator")
    timeout_s = _number(evaluator.get("timeout", _TIMEOUTS_S[framework]), "evaluator.timeout")
    cascade = evaluator.get("cascade_evaluation", True) is not False and stages > 0
    thresholds = evaluator.get("cascade_thresholds", _THRESHOLDS[framework])
    if not isinstance(thresholds, list | tuple):
        raise ConfigError(f"config.yaml: evaluator.cascade_thresholds must be a list, got {thresholds!r}")
    arguments = evaluator.get("evaluator_args") or {}
    if not isinstance(arguments, dict):
        raise ConfigError(f"config.yaml: evaluator.evaluator_args must be a table, got {arguments!r}")
    memory_mb = evaluator.get("memory_limit_mb") or _LIMITS.memory_mb
    # Theirs count each stage anew.
    limits = _limits(timeout_s * (stages if cascade else 1), memory_mb=int(_number(memory_mb, "evaluator.memory_limit_mb")))
    return Settings(
        limits=limits,
        thresholds=tuple(_number(item, "evaluator.cascade_thresholds") for item in thresholds) if cascade else None,
        max_stages=_MAX_STAGES[framework],
        arguments=arguments,
        background=_message(_section(table, "prompt")),
        ignored=tuple(_ignored(table)),
    )


def skydiscover_keys(folder: Path) -> list[str]:
    """Lists keys of ``config.yaml`` that SkyDiscover knows and OpenEvolve does not; none if it cannot be read."""
    try:
        return sorted(_SKYDISCOVER_KEYS & set(_config(folder)))
    except ConfigError:
        return []


def shinka_settings(folder: Path) -> Settings:
    """Reads a ShinkaEvolve task's settings from its ``shinka*.yaml`` or, without running it, from ``run_evo.py``.

    Raises:
        ConfigError: If a YAML file does not parse, or a time is not ``HH:MM:SS``.
    """
    files = sorted(folder.glob("shinka*.yaml"))
    table = _yaml(files[0]) if files else {}
    evolution = _section(table, "evo_config") or _section(table, "evo")
    job = _section(table, "job_config") or _section(table, "job")
    script = _script_settings(folder / "run_evo.py")
    message = evolution.get("task_sys_msg") or script.get("task_sys_msg", "")
    time = job.get("time") or script.get("time")
    limits = _LIMITS if time is None else _limits(_seconds(time))
    known = {"evo_config", "evo", "job_config", "job"}
    ignored = [key for key in table if key not in known] + [f"evo.{key}" for key in evolution if key != "task_sys_msg"]
    ignored += [f"job.{key}" for key in job if key != "time"]
    return Settings(limits=limits, background=str(message).strip(), ignored=tuple(ignored))


def _limits(timeout_s: float, memory_mb: int = _LIMITS.memory_mb) -> Limits:
    if not timeout_s > 0:
        raise ConfigError(f"the time limit must be > 0 seconds, got {timeout_s!r}")
    return Limits(timeout_s=timeout_s, memory_mb=memory_mb, scratch_mb=_LIMITS.scratch_mb, max_processes=_LIMITS.max_processes)


def _config(folder: Path) -> Mapping[str, Any]:  # Any: values of a YAML file
    path = next((folder / name for name in ("config.yaml", "config.yml") if (folder / name).is_file()), None)
    return {} if path is None else _yaml(path)


def _yaml(path: Path) -> Mapping[str, Any]:  # Any: values of a YAML file
    import yaml  # 20 ms, and only for other frameworks' folders

    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}") from error
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise ConfigError(f"{path.name} must hold a table of settings, got a {type(table).__name__}")
    return {str(key): value for key, value in table.items()}


def _section(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:  # Any: values of a YAML file
    section = table.get(name)
    return section if isinstance(section, dict) else {}


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where} must be a number, got {value!r}")
    return float(value)


def _message(prompt: Mapping[str, Any]) -> str:  # Any: values of a YAML file
    """Returns the system message; a single word is the name of a template of theirs."""
    message = prompt.get("system_message")
    return message.strip() if isinstance(message, str) and " " in message.strip() else ""


def _ignored(table: Mapping[str, Any]) -> Iterator[str]:  # Any: values of a YAML file
    yield from (key for key in table if key not in ("evaluator", "prompt"))
    yield from (f"prompt.{key}" for key in _section(table, "prompt") if key != "system_message")
    yield from (f"evaluator.{key}" for key in _section(table, "evaluator") if key not in _EVALUATOR_KEYS)


def _script_settings(path: Path) -> Mapping[str, str]:
    """Reads ``task_sys_msg=`` and a job's ``time=`` from calls in a script, where they are plain text or a name for it."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError):
        return {}
    named = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: dict[str, str] = {}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        for keyword in call.keywords:
            value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            value = named.get(keyword.value.id) if isinstance(keyword.value, ast.Name) else value
            if keyword.arg in ("task_sys_msg", "time") and isinstance(value, str):
                found.setdefault(keyword.arg, value)
    return found


def _seconds(time: object) -> float:
    """Reads ``HH:MM:SS``; YAML reads an unquoted one as a number of seconds."""
    if isinstance(time, int | float) and not isinstance(time, bool):
        return float(time)
    match = re.fullmatch(r"(\d+):(\d{1,2}):(\d{1,2})", str(time).strip())
    if match is None:
        raise ConfigError(f"the job's time must be HH:MM:SS, got {time!r}")
    hours, minutes, seconds = map(int, match.groups())
    return 3600.0 * hours + 60.0 * minutes + seconds
