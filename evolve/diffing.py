"""Writes what differs between two sources as a unified diff that ``git apply`` and ``patch`` take."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from evolve.program import Files


def unified(before: Files, after: Files, *, context: int = 3) -> str:
    """Returns the difference of two sources, file by file; empty when there is none.

    Args:
        before: The older source.
        after: The newer source.
        context: Unchanged lines around each change.
    """
    return "".join(line for path in sorted({*before, *after}) for line in _file(path, before.get(path), after.get(path), context))


def _file(path: str, before: str | None, after: str | None, context: int) -> Iterator[str]:
    names = ("/dev/null" if before is None else f"a/{path}", "/dev/null" if after is None else f"b/{path}")
    lines = difflib.unified_diff((before or "").splitlines(True), (after or "").splitlines(True), *names, n=context)
    for line in lines:
        # A last line without its newline must say so, or the next file's header would be glued to it.
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
