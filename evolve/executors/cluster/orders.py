"""What travels between a controller and the seats of a cluster, as bytes of plain data.

An *order* asks for one evaluation: the program, and hashes that say of which task and by which code. It is all that is sent for
each evaluation, whatever the archive's size. What comes back are, first, *notices* that a place was found, and that the evaluation
has begun or why this node cannot serve; and then an *answer*.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from evolve.evaluators.sandbox import wire
from evolve.executors import messages
from evolve.executors.base import Evaluated
from evolve.program import Isolation

_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Order:
    """Asks for one evaluation.

    Attributes:
        key: Of the task's parcel.
        code: Hash of the code that evaluates (`evolve.executors.cluster.installation`).
        isolation: The level to run programs at; None is the strongest that the node offers.
        grace_s: What an evaluator may take for itself.
        request: What to evaluate; empty only proves that the node can.
    """

    key: str
    code: str
    isolation: Isolation | None
    grace_s: float
    request: Mapping[str, Any]  # Any: plain data

    def packed(self) -> bytes:
        """As it travels."""
        plain = asdict(self) | {"isolation": self.isolation.value if self.isolation else None}
        return zlib.compress(wire.encode(plain), _LEVEL)

    @classmethod
    def unpacked(cls, data: bytes) -> Order:
        """Reads what `packed` made."""
        plain = wire.decode(zlib.decompress(data))
        return cls(**plain | {"isolation": Isolation(plain["isolation"]) if plain["isolation"] else None})


class Refusal(StrEnum):
    """Why a node does not evaluate."""

    PARCEL = "parcel"
    """It does not have the task's files; with them it may."""
    TASK = "task"
    """The task's evaluator does not load there."""
    ISOLATION = "isolation"
    """It does not offer the level asked for."""
    CODE = "code"
    """Another `evolve` is installed there."""
    SHORT = "short"
    """It has no disk space or memory left, for the moment."""
    BROKEN = "broken"
    """Something else is wrong with it, such as a missing package."""


class Notice(NamedTuple):
    """What a seat says before it evaluates: that it evaluates, that it does not, or that it gets ready to, where it has neither.

    Attributes:
        node: Ray's identifier of the node.
        host: Its name and address.
        isolation: The level that programs run at there; None where it does not evaluate, or not yet.
        refusal: Why it does not evaluate.
        why: The same for people.
    """

    node: str
    host: str
    isolation: Isolation | None = None
    refusal: Refusal | None = None
    why: str = ""

    def packed(self) -> bytes:
        """As it travels."""
        return wire.encode(
            [
                self.node,
                self.host,
                self.isolation.value if self.isolation else None,
                self.refusal.value if self.refusal else None,
                self.why,
            ]
        )

    @classmethod
    def unpacked(cls, data: bytes) -> Notice:
        """Reads what `packed` made."""
        node, host, isolation, refusal, why = wire.decode(data)
        return cls(node, host, Isolation(isolation) if isolation else None, Refusal(refusal) if refusal else None, why)


def pack_answer(evaluated: Evaluated | None) -> bytes:
    """Packs an evaluation; None for a part of the evaluator that there is not."""
    return zlib.compress(wire.encode({} if evaluated is None else messages.to_plain(evaluated)), _LEVEL)


def unpack_answer(data: bytes) -> Evaluated | None:
    """Reads what `pack_answer` made."""
    plain = wire.decode(zlib.decompress(data))
    return messages.from_plain(plain) if plain else None


def first_sentence(text: str) -> str:
    """The first sentence of a message of Ray's, without what its log puts before it."""
    found = re.match(r"(?:\[[^\]]*\] *)?(?:\S+\.cc?:\d+: |\S+\.h:\d+: )?(.*?)(?:\. |\.?$)", text.strip(), re.DOTALL)
    return (found[1] if found else text)[:500]
