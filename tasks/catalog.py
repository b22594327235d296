"""Finds tasks by name or folder: bundled ones, folders, and those that installed packages bring along."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path

from evolve.errors import ConfigError, TaskError, nearest_hint
from evolve.plugins import installed
from evolve.program import Task
from evolve.tasks import foreign
from evolve.tasks.base import Unfinished, load, load_unfinished

#: Entry-point group; the value names a module or package whose folder holds ``task.toml``.
GROUP = "evolve.tasks"


def find(name: str) -> Task:
    """Finds a task.

    Args:
        name: A folder that holds ``task.toml`` (or that file itself), a task folder of another framework (see `foreign`), or
            the name of a bundled or installed task.

    Raises:
        ConfigError: If there is no such task.
        TaskError: If there is one and it is broken.
    """
    path = Path(name).expanduser()
    if path.name == "task.toml" and path.is_file():
        path = path.parent
    in_folder = _load_folder(path)
    if in_folder is not None:
        return in_folder
    if path.is_dir() and "/" in name:
        raise ConfigError(f"folder {name} is no task: {foreign.what_is_missing(path)}")
    bundled = bundled_folders()
    if name in bundled:
        return load(bundled[name], "bundled")
    entry_points = installed(GROUP)
    if name in entry_points:
        return _load_installed(entry_points[name])
    hint = nearest_hint(name, [*bundled, *entry_points])
    raise ConfigError(f"unknown task {name!r}; {hint} (a task is a bundled or installed name, or a folder with task.toml)")


def find_unfinished(name: str) -> Unfinished:
    """Finds a task whose program is not all there.

    Args:
        name: A folder that holds ``task.toml``, or that file itself.

    Raises:
        ConfigError: If there is no such folder.
        TaskError: If the task is broken otherwise than by missing files of its program.
    """
    path = Path(name).expanduser()
    if path.name == "task.toml" and path.is_file():
        path = path.parent
    if not (path / "task.toml").is_file():
        raise ConfigError(f"folder {name!r} holds no task.toml; begin one with: evolve task new NAME")
    return load_unfinished(path, "folder")


def bundled_folders() -> dict[str, Path]:
    """Folders of the tasks that ship with this package, by name."""
    root = Path(str(files("evolve.tasks")))
    return {path.parent.name: path.parent for path in sorted(root.glob("*/task.toml"))}


def list_tasks() -> tuple[list[Task], list[str]]:
    """Loads every bundled and installed task.

    Returns:
        The tasks, and a message for each that is broken: one bad plug-in must not hide the rest.
    """
    tasks = [load(folder, "bundled") for folder in bundled_folders().values()]
    broken = []
    for entry_point in installed(GROUP).values():
        try:
            tasks.append(_load_installed(entry_point))
        except TaskError as error:
            broken.append(str(error))
    return tasks, broken


def _load_folder(path: Path) -> Task | None:
    """Loads the task that a folder holds, ours or another framework's; None if it holds none."""
    if not path.is_dir():
        return None
    if (path / "task.toml").is_file():
        return load(path, "folder")
    found = foreign.recognise(path)
    return None if found is None else foreign.load(path, found)


def locate(folder: str, name: str) -> Task:
    """Finds a run's task again: where it was, or else by name, for an archive that has moved to another machine."""
    if folder and (Path(folder) / "task.toml").is_file():
        known: Mapping[Path, str] = {path.resolve(): "bundled" for path in bundled_folders().values()}
        return load(Path(folder), known.get(Path(folder).resolve(), "folder"))
    in_folder = _load_folder(Path(folder)) if folder else None
    return in_folder if in_folder is not None else find(name)


def _load_installed(entry_point: EntryPoint) -> Task:
    """Loads the task of an entry point without importing its package: its code belongs in a worker."""
    package = entry_point.dist.name if entry_point.dist is not None else entry_point.module
    where = f"task {entry_point.name} of package {package}"
    # Of the first part only: to find a submodule, Python would import what is above it.
    top, *below = entry_point.module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError) as error:
        raise TaskError(f"{where}: {error}") from error
    if spec is None:
        raise TaskError(f"{where}: module {top} does not exist")
    roots = [Path(place) for place in spec.submodule_search_locations or [str(Path(spec.origin or ".").parent)]]
    for folder in (place for root in roots for place in (root.joinpath(*below), root.joinpath(*below[:-1]))):
        if (folder / "task.toml").is_file():
            return load(folder, package)
    raise TaskError(f"{where}: no task.toml beside {entry_point.module}")
