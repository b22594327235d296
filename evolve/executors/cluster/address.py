"""What a user writes after ``--executor`` for a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):(\d{1,5})")


class Way(StrEnum):
    """How a cluster is reached."""

    HERE = "here"
    """A cluster of this machine alone, started for the run and ended with it."""
    NODE = "node"
    """By way of the Ray node that runs on this machine."""
    CLIENT = "client"
    """By Ray's client server, from a machine that is no node."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a cluster is.

    Attributes:
        way: How it is reached.
        text: What Ray is told.
    """

    way: Way
    text: str

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and port; None for a cluster that is started here."""
        if self.way is Way.HERE:
            return None
        host, _, port = self.text.removeprefix("ray://").rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def described(self) -> str:
        """How messages call the cluster."""
        return "the Ray cluster of this machine" if self.way is Way.HERE else f"the Ray cluster at {self.text}"


def parse(text: str) -> Address | None:
    """Reads ``ray``, ``HOST:PORT`` or ``ray://HOST:PORT``; None for anything else."""
    if text == "ray":
        return Address(Way.HERE, "local")
    way = Way.CLIENT if text.startswith("ray://") else Way.NODE
    matched = _HOST_PORT.fullmatch(text.removeprefix("ray://"))
    if matched is None or not 0 < int(matched[2]) < 2**16:
        return None
    return Address(way, text)
