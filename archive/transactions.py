"""What a transaction is for. Databases begin it accordingly: what must not happen at once waits, all else goes on side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

Durability = Literal["normal", "full"]

_OPTION = "evolve_purpose"


@dataclass(frozen=True, slots=True)
class Reading:
    """Sees one state of the archive throughout, and changes nothing."""


@dataclass(frozen=True, slots=True)
class Numbering:
    """Looks for the next free number or name of the archive, and takes it: one at a time."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Writes records of a run, or takes the run over: one at a time for each run, and those of other runs go on.

    Attributes:
        run: Which run.
    """

    run: int


@dataclass(frozen=True, slots=True)
class Altering:
    """Makes or changes tables while nobody else reads or writes."""


Purpose = Reading | Numbering | Recording | Altering


def for_purpose(connection: Connection, purpose: Purpose) -> Connection:
    """Says what the transactions of a connection are for; until then they read."""
    return connection.execution_options(**{_OPTION: purpose})


def purpose_of(connection: Connection) -> Purpose:
    """Returns what the transactions of a connection are for."""
    purpose: Purpose = connection.get_execution_options().get(_OPTION, Reading())
    return purpose
