"""Pickles tasks for the (trusted) processes that evaluate their programs."""

from __future__ import annotations

import contextlib
import site
import sys
import sysconfig
from collections.abc import Iterator
from types import ModuleType

import cloudpickle

from evolve.errors import TaskError
from evolve.program import Task


def pickled(task: Task, *, by_value: bool = False) -> bytes:
    """Pickles a task with its functions.

    Args:
        task: The task.
        by_value: Whether functions of modules that belong to no installed package travel with all that they refer to, for a machine
            where those modules are not to be found, or hold something else.

    Raises:
        TaskError: If a function refers to what cannot be pickled.
    """
    try:
        with _as_values() if by_value else contextlib.nullcontext():
            content: bytes = cloudpickle.dumps(task)
    except Exception as error:  # cloudpickle passes on whatever an author's objects raise
        raise TaskError(f"task {task.name}: its evaluate function cannot be sent to a worker: {error}") from error
    return content


@contextlib.contextmanager
def _as_values() -> Iterator[None]:
    folders = [*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_path("stdlib")]
    installed = tuple(f"{folder}/" for folder in folders)
    known = cloudpickle.list_registry_pickle_by_value()
    modules = [module for name, module in [*sys.modules.items()] if name not in known and _is_own(name, module, installed)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _is_own(name: str, module: ModuleType, installed: tuple[str, ...]) -> bool:
    """Whether another machine with the same packages lacks this module."""
    # cloudpickle sends what ``__main__`` holds by value of itself.
    if not isinstance(module, ModuleType) or module.__name__ != name or name.partition(".")[0] in ("evolve", "__main__"):
        return False
    # What is built in has no file, and an extension's machine code does not travel.
    file = vars(module).get("__file__")
    return isinstance(file, str) and file.endswith(".py") and not file.startswith(installed)
