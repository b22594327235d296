"""What a controller knows of the nodes of a cluster."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from evolve.executors.cluster.needs import Needs
from evolve.program import Isolation

logger = logging.getLogger(__name__)

#: Of the evaluations that the cluster holds, those that wait besides: whoever is done finds the next one there already.
_AHEAD = 1 / 8


class Nodes:
    """The nodes of a cluster that are alive, which of them evaluate, and at which level.

    Attributes:
        levels: The level found on each node that has evaluated, by its host.
    """

    def __init__(self, needs: Needs) -> None:
        """Starts with a cluster of which nothing is known.

        Args:
            needs: Resources of one evaluation.
        """
        self._needs = needs
        self._alive: dict[str, Mapping[str, Any]] = {}  # Any: plain data
        self._left_out: dict[str, str] = {}
        self.levels: dict[str, Isolation] = {}

    def are(self, nodes: Sequence[Mapping[str, Any]]) -> None:  # Any: plain data
        """Takes down which nodes are alive."""
        was = self._alive
        self._alive = {node["node"]: node for node in nodes}
        for name, what in (("joined", self._alive.keys() - was.keys()), ("left", was.keys() - self._alive.keys())):
            for node in sorted(what) if was else ():
                host = (self._alive.get(node) or was[node])["host"]
                logger.info("node %s has %s; the cluster holds %d evaluations", host, name, self.capacity)

    def offers(self, host: str, level: Isolation) -> None:
        """Takes down the level that a node runs programs at."""
        if host not in self.levels:
            logger.info("node %s evaluates at isolation level %s", host, level)
        self.levels[host] = level

    def leave_out(self, node: str, why: str) -> None:
        """Takes down that a node does not evaluate."""
        self._left_out[node] = why

    @property
    def capacity(self) -> int:
        """How many evaluations the nodes hold at once."""
        nodes = (node for name, node in self._alive.items() if name not in self._left_out)
        return sum(self._needs.held_by(node["resources"]) for node in nodes)

    @property
    def in_flight(self) -> int:
        """How many evaluations keep the cluster busy without flooding it."""
        return max(1, self.capacity + math.ceil(self.capacity * _AHEAD))

    @property
    def some_left(self) -> bool:
        """Whether a node is there that could evaluate and has not been left out; to an empty cluster, one may come."""
        return not self._alive or self.capacity > 0

    def to_avoid(self, nodes: set[str]) -> list[str]:
        """Names the nodes to keep an attempt off: those left out, and of some others those that the cluster can do without."""
        left_out = self._left_out.keys() & self._alive.keys()
        others = [name for name in self._alive if name not in left_out | nodes]
        spare = any(self._needs.held_by(self._alive[name]["resources"]) for name in others)
        return sorted(left_out | (nodes & self._alive.keys() if spare else set()))

    def text(self) -> str:
        """Lists the nodes, for messages."""
        listed = []
        for name, node in sorted(self._alive.items(), key=lambda item: str(item[1]["host"])):
            named = {"CPU": "cpus", "GPU": "gpus"}
            own = {
                k: v
                for k, v in node["resources"].items()
                if not k.startswith("node:") and k not in ("object_store_memory", "memory")
            }
            parts = [f"{named.get(k, k)} {v:g}" for k, v in sorted(own.items())]
            parts.append(f"memory {node['resources'].get('memory', 0) / 2**20:.0f} MB")
            why = f" (left out: {self._left_out[name]})" if name in self._left_out else ""
            listed.append(f"{node['host']}: {', '.join(parts)}{why}")
        return "; ".join(listed) or "no node"
