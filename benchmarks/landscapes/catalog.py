"""All landscapes by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from benchmarks.landscapes.base import Landscape
from benchmarks.landscapes.plateaus import copies, noisy
from benchmarks.landscapes.recipes import genes, tiny, uneven
from benchmarks.landscapes.reserved import expression, scheduling
from benchmarks.landscapes.traps import modules, valleys
from evolve.errors import nearest_hint

#: Those that strategies may be developed on.
LANDSCAPES: Mapping[str, Callable[[], Landscape]] = MappingProxyType(
    {
        "genes": genes,
        "modules": modules,
        "copies": copies,
        "noisy": noisy,
        "valleys": valleys,
        "tiny": tiny,
        "uneven": uneven,
    }
)
#: Those for reports alone.
RESERVED: Mapping[str, Callable[[], Landscape]] = MappingProxyType({"scheduling": scheduling, "expression": expression})


def make(name: str) -> Landscape:
    """Makes a landscape by its name.

    Raises:
        ValueError: If there is none of that name.
    """
    known = {**LANDSCAPES, **RESERVED}
    if name not in known:
        raise ValueError(f"unknown landscape {name!r}; {nearest_hint(name, list(known))}")
    return known[name]()
