"""Which `evolve` is installed: two machines may evaluate for one run only where it is the same."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

#: What decides a score, and what carries it from a node to the controller.
_DECIDES = ("evolve.evaluators", "evolve.executors", "evolve.program", "evolve.limits", "evolve.rng")


@functools.cache
def code_sha256() -> str:
    """Hashes the modules of this package that decide what an evaluation comes to."""
    digest = hashlib.sha256()
    for name, path in _files():
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _files() -> Iterator[tuple[str, Path]]:
    for module in _DECIDES:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            continue
        folders = spec.submodule_search_locations
        if not folders:
            yield module, Path(spec.origin)
            continue
        for path in sorted(file for folder in folders for file in Path(folder).rglob("*.py")):
            yield f"{module}/{path.name}", path
