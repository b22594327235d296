"""Reads what a build has left in a program's folder, so that every execution can begin with the same files.

Stands alone like ``runner.py``, which loads it by path: the standard library only. What lies there was made by untrusted
code, which has ended: no link is followed, nothing but regular files is opened, and the size is bounded.
"""

from __future__ import annotations

import os
import stat


def collect(folder: str, limit_bytes: int) -> list[object]:
    """Reads the regular files in a folder and below it.

    Args:
        folder: Where to look.
        limit_bytes: Of all together.

    Returns:
        A dict of contents by relative path, and the list of those that may be run. Files whose names are not printable text are
        left out.

    Raises:
        ValueError: If they are larger than the limit; the message says so.
        OSError: If one cannot be read.
    """
    files: dict[str, bytes] = {}
    executable: list[str] = []
    left = limit_bytes
    for where, _, names, descriptor in os.fwalk(folder):
        for name in names:
            path = os.path.relpath(os.path.join(where, name), folder)
            entry = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if not stat.S_ISREG(entry.st_mode) or not path.isprintable():
                continue
            left -= entry.st_size
            if left < 0:
                raise ValueError(f"the files in the program's folder take more than {limit_bytes / 2**20:g} MB")
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
            with os.fdopen(file, "rb") as opened:
                files[path] = opened.read(entry.st_size)
            if entry.st_mode & stat.S_IXUSR:
                executable.append(path)
    return [files, executable]
