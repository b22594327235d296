"""The tasks of expert placement with fewer, smaller traces: the same evaluators in a fraction of the time."""

from __future__ import annotations

import shutil
from pathlib import Path

from evolve.program import Task
from evolve.tasks.base import load
from evolve.tasks.catalog import bundled_folders


def with_settings(name: str, folder: Path, **settings: int | str) -> Task:
    """A copy of a task in an empty folder, with other values of settings that its file has.

    Values are TOML.
    """
    shutil.copytree(bundled_folders()[name], folder / name)
    file = folder / name / "placement.toml"
    lines = file.read_text("utf-8").splitlines()
    for key, value in settings.items():
        [place] = [number for number, line in enumerate(lines) if line.startswith(f"{key} = ")]
        lines[place] = f"{key} = {value}"
    file.write_text("\n".join(lines), "utf-8")
    return load(folder / name, "folder")
