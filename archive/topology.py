"""Which islands send copies of their best to which."""

from __future__ import annotations

import re
from enum import StrEnum

from evolve.errors import ConfigError, nearest_hint


class Topology(StrEnum):
    """Migration graphs that have a name.

    Source: ring, Tanese 1989 ("Distributed genetic algorithms"); both neighbours, as in OpenEvolve.
    """

    RING = "ring"
    BOTH = "both"
    FULL = "full"
    NONE = "none"


_EDGE = re.compile(r"\s*(\d+)\s*>\s*(\d+)\s*")


def _listed(topology: str) -> list[tuple[int, int]]:
    """Reads edges such as ``"0>1, 1>2"``.

    Raises:
        ConfigError: If the text is neither a list of edges nor a known name.
    """
    found = [_EDGE.fullmatch(part) for part in topology.split(",")]
    matches = [match for match in found if match is not None]
    if len(matches) < len(found):
        hint = nearest_hint(topology, [name.value for name in Topology])
        raise ConfigError(f"unknown topology {topology!r}; {hint}; edges are written as in '0>1, 1>2, 2>0'")
    return [(int(match[1]), int(match[2])) for match in matches]


def check_topology(topology: str, n_islands: int) -> None:
    """Refuses what is no migration graph of so many islands.

    Args:
        topology: A name of `Topology`, or edges such as ``"0>1, 1>2"``.
        n_islands: The most islands that there can be.

    Raises:
        ConfigError: If it is neither.
        ValueError: If an edge names an island that there cannot be, or leads from an island to itself.
    """
    if topology in list(Topology):
        return
    for source, target in _listed(topology):
        if source == target:
            raise ValueError(f"topology: {source}>{target} leads from an island to itself; leave it out")
        if max(source, target) >= n_islands:
            raise ValueError(f"topology: {source}>{target} names an island that there is not; islands are 0 to {n_islands - 1}")


def edges(topology: str, n_islands: int) -> list[tuple[int, int]]:
    """Lists who sends to whom.

    Args:
        topology: As `check_topology` passed it.
        n_islands: Islands that there are now; edges to others are left out.

    Returns:
        Pairs (source, target), in the order in which copies arrive.
    """
    islands = range(n_islands)
    if topology == Topology.NONE:
        return []
    if topology == Topology.RING:
        pairs = [(source, (source + 1) % n_islands) for source in islands]
    elif topology == Topology.BOTH:
        pairs = [(source, (source + side) % n_islands) for source in islands for side in (1, -1)]
    elif topology == Topology.FULL:
        pairs = [(source, target) for source in islands for target in islands]
    else:
        pairs = _listed(topology)
    inhabited = (pair for pair in pairs if max(pair) < n_islands and pair[0] != pair[1])
    # Two islands are each other's neighbour on both sides.
    return list(dict.fromkeys(inhabited))
