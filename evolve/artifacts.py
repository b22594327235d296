"""Writes what an evaluator drew and wrote down about a program to a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evolve.errors import ConfigError


def write(files: Mapping[str, bytes], folder: Path) -> tuple[str, ...]:
    """Writes files to a folder, over others of the same names.

    Args:
        files: Contents by name.
        folder: Made when it does not exist, and there is something to write.

    Returns:
        Their names, sorted.

    Raises:
        ConfigError: If the folder cannot be written.
    """
    try:
        for name, content in files.items():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from error
    return tuple(sorted(files))
