"""Reads a task's folder whole, for a copy of it inside the sandbox, and hashes it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from evolve.errors import TaskError

#: A copy crosses to the sandbox with every evaluation.
MAX_BYTES, MAX_FILES = 64 * 2**20, 2000
_LEFT_OUT = frozenset(("__pycache__", "node_modules", "venv", "wandb", "checkpoints", "outputs"))
#: What models answered while the program was drafted (`evolve.draft_journal`): the evaluator has no use for it.
_JOURNAL = "drafts.jsonl"
_OUTPUT_BEGINNINGS = ("results", "openevolve_output", "skydiscover_output", "gen_")
_SQLITE = b"SQLite format 3\x00"


class Content(NamedTuple):
    """A folder's files.

    Attributes:
        files: Bytes by path relative to the folder, in path order.
        executable: Paths of those that can be run.
    """

    files: Mapping[str, bytes]
    executable: tuple[str, ...]


def read(folder: Path) -> Content:
    """Reads every file of a task's folder but hidden ones, databases (the archive of a run), and what runs and drafts put there.

    Raises:
        TaskError: If there is too much of it, or something cannot be read.
    """
    files: dict[str, bytes] = {}
    executable: list[str] = []
    total = 0
    for path in sorted(_paths(folder)):
        name = path.relative_to(folder).as_posix()
        try:
            total += path.stat().st_size
            if total > MAX_BYTES or len(files) >= MAX_FILES:
                raise TaskError(
                    f"task in {folder.name}: its folder holds more than {MAX_FILES} files or {MAX_BYTES >> 20} MB, and is copied "
                    f"into the sandbox for every evaluation; move what the evaluator does not need out of it (reached at {name})"
                )
            content = path.read_bytes()
        except OSError as error:
            raise TaskError(f"task in {folder.name}: {name!r} cannot be read: {error.strerror}") from error
        if content.startswith(_SQLITE) or name.endswith((".pyc", "-wal", "-shm")):
            continue
        files[name] = content
        if os.access(path, os.X_OK):
            executable.append(name)
    return Content(files, tuple(executable))


def digest(content: Content, left_out: frozenset[str]) -> str:
    """Hashes a folder's files but those named, read-me files and logs, which decide no score."""
    total = hashlib.sha256()
    for name, body in content.files.items():
        last = name.rpartition("/")[2]
        if name in left_out or last.upper().startswith("README") or last.endswith(".log"):
            continue
        total.update(f"{name} {len(body)}\n".encode() + body)
    return total.hexdigest()


def _paths(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        top = Path(place) == folder
        folders[:] = [name for name in folders if _is_kept(Path(place, name), top=top)]
        kept = (name for name in names if name[:1] != "." and not (top and name == _JOURNAL))
        yield from (Path(place, name) for name in kept if Path(place, name).is_file())


def _is_kept(path: Path, *, top: bool) -> bool:
    if path.name in _LEFT_OUT or path.name[:1] == "." or (path / "provenance.json").is_file() or (path / "pyvenv.cfg").is_file():
        return False
    return not (top and path.name.startswith(_OUTPUT_BEGINNINGS))
