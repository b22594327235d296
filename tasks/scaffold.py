"""Writes a new task's folder: a small one that runs as it stands, with the places to change marked."""

from __future__ import annotations

import re
from pathlib import Path

from evolve.errors import ConfigError, nearest_hint
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
