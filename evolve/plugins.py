"""Finds what other packages bring along, by entry point.

Groups: ``evolve.tasks``, ``evolve.mutators``, ``evolve.executors``, ``evolve.strategies``, ``evolve.embedders``. Built-ins and
plug-ins are looked up by the same name.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from evolve.errors import TaskError


def installed(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name, sorted; of two with one name the first package in the alphabet wins."""
    found = sorted(entry_points(group=group), key=lambda point: (point.name, point.dist.name if point.dist else ""))
    by_name: dict[str, EntryPoint] = {}
    for point in found:
        by_name.setdefault(point.name, point)
    return by_name


def load(point: EntryPoint) -> object:
    """Imports what an entry point names.

    Raises:
        TaskError: If that fails; the message names the package.
    """
    package = point.dist.name if point.dist else point.module
    try:
        return point.load()
    except Exception as error:  # importing somebody's package may raise anything
        raise TaskError(f"plug-in {point.name!r} of package {package} cannot be loaded: {error}") from error
