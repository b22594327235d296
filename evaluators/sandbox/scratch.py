"""A program's folder, seen from outside: what is laid into it, and how it is emptied."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath


def laid_out(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    """Checks the paths of files that are to lie in a program's folder, and encodes their texts.

    Raises:
        ValueError: If a path leads out of the folder.
    """
    contents = {}
    for name, content in files.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or "\0" in name:
            raise ValueError(f"a program's file must lie inside its folder, got {name!r}")
        # Lone surrogates would be an error of ours; the program's own loader complains about them.
        contents[name] = content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
    return contents


def empty(folder: Path) -> None:
    """Deletes what lies in a folder, which itself stays: Landlock's rule is bound to it. Follows no link."""
    for entry in os.scandir(folder):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
            continue
        if os.getuid():  # root can enter a folder that the program has closed
            _unlock(entry.path)
        shutil.rmtree(entry.path)


def _unlock(folder: str) -> None:
    os.chmod(folder, stat.S_IRWXU, follow_symlinks=False)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            _unlock(entry.path)
