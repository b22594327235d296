"""Pickles tasks for the (trusted) processes that evaluate their programs."""

from __future__ import annotations

import contextlib
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
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
        with _as_values(task) if by_value else contextlib.nullcontext():
            content: bytes = cloudpickle.dumps(task)
    except Exception as error:  # cloudpickle passes on whatever an author's objects raise
        raise TaskError(f"task {task.name}: its evaluate function cannot be sent to a worker: {error}") from error
    return content


@contextlib.contextmanager
def _as_values(task: Task) -> Iterator[None]:
    functions = (task.evaluate, task.smoke_test, task.holdout)
    names = {getattr(function, "__module__", None) for function in functions if function is not None}
    modules = [module for name in sorted(filter(None, names)) if (module := sys.modules.get(name)) and not _installed(module)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _installed(module: ModuleType) -> bool:
    """Whether another machine with the same packages has this module."""
    if module.__name__.partition(".")[0] == "evolve" or module.__name__ == "__main__":
        return True  # cloudpickle sends what ``__main__`` holds by value of itself
    if module.__file__ is None:
        return module.__name__ in sys.builtin_module_names
    folders = [*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_path("stdlib")]
    return any(Path(module.__file__).is_relative_to(folder) for folder in folders)
