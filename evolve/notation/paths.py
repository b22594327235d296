"""Which of a program's files a line of a reply names."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from evolve.notation.refusal import EditRefused
from evolve.program import Files

# What stands before and around a path: `### a.py`, `// a.py`, `1. a.py`, **`a.py`**:, `--- a.py ---`, "File: a.py".
_BEFORE = re.compile(r"(?:#+|//|\d+[.)]|[-*>])\s+")
_AROUND = "*`'\":=- \t"
_WORD = re.compile(r"(?:file(?:name)?|path)[*`'\": \t]+", re.IGNORECASE)
_PATH = re.compile(r"[\w.+-]+(?:/[\w.+-]+)*")
_INFO = re.compile(r"[\s:={}'\"]+")


def named_by_line(line: str, files: Files) -> str | None:
    """Finds the file that a line names: a heading, a bold or quoted path, a comment, ``File: path``, or the path alone.

    The last folders of a path are enough where they fit one file. A line of prose names none, whatever it mentions.

    Raises:
        EditRefused: If the line is a path like those of the program, and no file of it.
    """
    heading = _BEFORE.sub("", line.strip(), count=1)
    for text in (heading, heading.strip(_AROUND), bare := _WORD.sub("", heading.strip(_AROUND), count=1)):
        found = _file(text, files)
        if found is not None:
            return found
    if _PATH.fullmatch(bare) and PurePosixPath(bare).suffix in {PurePosixPath(path).suffix for path in files} - {""}:
        raise EditRefused(f"the reply names the file {bare!r}, which {described(files)}. Name a file as it is named there")
    return None


def named_by_fence(info: str, files: Files) -> str | None:
    """Finds the file named behind an opening fence, as in ``python title="a.py"`` or ``python:a.py``."""
    return next((found for word in _INFO.split(info) if (found := _file(word, files)) is not None), None)


def described(files: Files) -> str:
    """Says what a program consists of."""
    names = ", ".join(sorted(files))
    return (
        f"is not in the program: its only file is {names}" if len(files) == 1 else f"is not in the program: its files are {names}"
    )


def _file(text: str, files: Files) -> str | None:
    name = text.removeprefix("./")
    if name in files or not name:
        return name or None
    fitting = [path for path in files if path.endswith(f"/{name}")]
    return fitting[0] if len(fitting) == 1 else None
