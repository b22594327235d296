"""What islands, grids and fronts share: members in their order, pools of bounded size, and what is shown beside a parent."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np

from evolve.archive.embeddings import pack, unpack
from evolve.archive.population import Member


def best_first(member: Member) -> tuple[float, int, int, str]:
    """Sorts best first. Ties go to the shorter program (long ones crowd the prompt), then to the earlier one."""
    return (-member.fitness, member.size, member.step, member.program_id)


class Ranked:
    """Members, best first, each program once.

    Finding a place takes O(log n) comparisons; moving the rest of the list is one copy of n pointers.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self.members: list[Member] = []

    def __contains__(self, program_id: str) -> bool:
        return program_id in self._ids

    def __len__(self) -> int:
        return len(self.members)

    def add(self, member: Member) -> bool:
        """Puts a member in its place; False when its program is here already."""
        if member.program_id in self._ids:
            return False
        bisect.insort(self.members, member, key=best_first)
        self._ids.add(member.program_id)
        return True

    def index(self, member: Member) -> int:
        """Finds the place of a member.

        Raises:
            KeyError: If its program is not here.
        """
        if member.program_id not in self._ids:
            raise KeyError(member.program_id)
        return bisect.bisect_left(self.members, best_first(member), key=best_first)

    def remove(self, member: Member) -> None:
        """Takes a member out.

        Raises:
            KeyError: If its program is not here.
        """
        del self.members[self.index(member)]
        self._ids.remove(member.program_id)


class Crowding(StrEnum):
    """Which program makes room in a full pool."""

    WORST = "worst"
    DISTANCE = "distance"


class Pool(Ranked):
    """At most ``capacity`` members.

    Source: a newcomer that competes with the member most like it, deterministic crowding, Mahfoud 1995 ("Niching methods
    for genetic algorithms"), where it competes with its own parent, found by comparing with both.
    """

    def __init__(self, capacity: int, crowding: Crowding = Crowding.WORST) -> None:
        """Makes an empty pool.

        Args:
            capacity: Most members; 0 keeps none.
            crowding: With ``worst`` the last of all goes out. With ``distance`` the newcomer or the member whose embedding is
                most like its own goes out, whichever is worse; the best member stays either way. Where there is nothing to
                compare, the worst goes out.
        """
        super().__init__()
        self._capacity = capacity
        self._crowding = crowding

    def put(self, member: Member) -> Member | None:
        """Adds a member unless its program is here; returns the one that goes out, if any."""
        if not self.add(member) or len(self) <= self._capacity:
            return None
        gone = self._rival(member) or self.members[-1]
        self.remove(gone)
        return gone

    def clear(self) -> list[Member]:
        """Takes all members out and returns them, best first."""
        gone, self.members = self.members, []
        self._ids.clear()
        return gone

    def _rival(self, newcomer: Member) -> Member | None:
        """Returns the worse of a newcomer and the member most like it; None where likeness does not count."""
        if self._crowding is Crowding.WORST or newcomer.embedding is None:
            return None
        others = [other for other in self.members if other.embedding is not None and other is not newcomer]
        if not others:
            return None
        # One difference per member: rounding in a product of matrices depends on their shapes. Lengths say how much source there
        # is, so that products alone would take the longest program for the most like.
        apart = [float(np.sum((newcomer.embedding - other.embedding) ** 2)) for other in others if other.embedding is not None]
        return max(newcomer, others[int(np.argmin(apart))], key=best_first)


def as_stored(member: Member) -> Member:
    """Rounds a member's embedding as the archive does, so that a run and its continuation compare the same numbers."""
    if member.embedding is None:
        return member
    return dataclasses.replace(member, embedding=unpack(pack(member.embedding)))


def child_counts(members: Sequence[Member], counts: Mapping[str, int]) -> np.ndarray:
    """Looks up finished steps that started from each member: ``(n_members,)``."""
    return np.fromiter((counts[member.program_id] for member in members), int, len(members))


def inspirations(
    n_members: int, parent: int, count: int, rng: np.random.Generator, *, favoured: Sequence[int] = ()
) -> tuple[int, ...]:
    """Picks the best member, some that are favoured and others by chance, never the parent.

    Args:
        n_members: How many there are, sorted best first.
        parent: Index of the parent.
        count: How many to pick.
        rng: The only source of chance.
        favoured: Indices in the order of preference; they take half of the places beside the best, rounded up.

    Returns:
        Indices in ascending order, which is best first; fewer than ``count`` when there are no more.
    """
    others = np.delete(np.arange(n_members), parent)
    if count >= len(others) or count == 0:
        return tuple(others[:count].tolist())
    best, rest = int(others[0]), others[1:]
    liked = [index for index in favoured if index not in (parent, best)][: count // 2]
    if liked:
        rest = rest[~np.isin(rest, liked)]
    drawn = rng.choice(rest, count - 1 - len(liked), replace=False)
    return tuple(sorted([best, *liked, *drawn.tolist()]))
