"""Writes a new task's folder: a small one that runs as it stands, with the places to change marked, or a copy of another task's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from evolve.errors import ConfigError, nearest_hint
from evolve.program import Task
from evolve.tasks.scaffold_texts import LANGUAGES


def write(name: str, parent: Path, language: str = "python") -> Path:
    """Writes a new task's folder and returns it.

    Args:
        name: The task's name: letters, digits and underscores.
        parent: The folder to make it in.
        language: What the program is written in.

    Raises:
        ConfigError: If the name is not one, the language is not known, the folder exists, or it cannot be written.
    """
    if language not in LANGUAGES:
        raise ConfigError(f"language {language!r}: {nearest_hint(language, list(LANGUAGES))}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ConfigError(f"task name {name!r}: use a letter, then letters, digits and underscores")
    folder = parent / name
    if folder.exists():
        raise ConfigError(f"{folder} exists already; choose another name")
    try:
        folder.mkdir(parents=True)
        for path, text in LANGUAGES[language].items():
            (folder / path).write_text(text.replace("{name}", name), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}") from error
    return folder


def copy(task: Task, parent: Path) -> Path:
    """Copies a task's folder, to be changed, and returns the copy.

    Args:
        task: Any that has a folder.
        parent: The folder to make the copy in; it gets the name of the task's folder.

    Raises:
        ConfigError: If the task has no folder, the copy exists already, or it cannot be written.
    """
    if task.folder is None:
        raise ConfigError(f"task {task.name} has no folder that could be copied")
    folder = parent / task.folder.name
    if folder.exists():
        raise ConfigError(f"{folder} exists already; copy to another place with --in DIR")
    try:
        shutil.copytree(task.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    except (OSError, shutil.Error) as error:
        raise ConfigError(f"cannot write {folder}: {error}") from error
    return folder
