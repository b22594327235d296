"""A program's folder, seen from outside: what is laid into it, and how it is emptied."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from contextlib import suppress
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
    """Deletes what lies in a folder, which itself stays: Landlock's rule is bound to it. Follows no link.

    Raises:
        OSError: If the folder is not one any more, or something in it cannot be deleted; where nothing keeps a program from
            doing so, it may have put a link or a mount in its place.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in os.listdir(descriptor):
            if not stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=descriptor)
                continue
            if os.getuid():  # root can enter a folder that the program has closed
                _unlock(f"{folder}/{name}")
            _remove_tree(name, descriptor)
    finally:
        os.close(descriptor)


def remove(folder: Path) -> None:
    """Deletes a folder as far as that is possible; follows no link."""
    with suppress(OSError):
        empty(folder)
        folder.rmdir()


def _remove_tree(name: str, within: int) -> None:
    try:
        shutil.rmtree(name, dir_fd=within)
    except RecursionError:
        # Folders nested deeper than Python's stack: the system's own tool has none.
        subprocess.run(["rm", "-rf", "--", name], cwd=f"/proc/self/fd/{within}", pass_fds=(within,), check=False)


def _unlock(folder: str) -> None:
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        with suppress(OSError):  # deeper than a path can be long: deleting says so
            os.chmod(place, stat.S_IRWXU, follow_symlinks=False)
            waiting += [entry.path for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
