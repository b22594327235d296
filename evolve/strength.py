"""Which arms a new approach is asked of: those of the strongest model that can be asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from evolve.llm.prices import Price
from evolve.llm.specs import EditKind

#: Whole files leave most freedom; search/replace blocks have to find their lines. Of the others whole files are asked anyhow.
_FREEDOM = {EditKind.FULL: 0, EditKind.DIFF: 1, EditKind.CROSS: 2, EditKind.REPAIR: 2}


class Contender(NamedTuple):
    """An arm that asks a model.

    Attributes:
        arm: Its name.
        kind: What it asks for.
        price: Of its model; None where it is not known.
    """

    arm: str
    kind: EditKind
    price: Price | None


def by_strength(contenders: Iterable[Contender], beginning: str = "") -> tuple[tuple[str, ...], ...]:
    """Groups arms of like strength, the strongest first.

    What a provider charges for an answer's tokens says best what it holds its models for; nothing is known of an unpriced one.
    Of one model, arms that ask for whole files come before those that ask for blocks.

    Args:
        contenders: The arms that ask models.
        beginning: What a name has to begin with to count.
    """
    wanted = sorted((contender for contender in contenders if contender.arm.startswith(beginning)), key=_weakness)
    return tuple(tuple(contender.arm for contender in group) for _, group in groupby(wanted, _weakness))


def strongest(ranks: Sequence[Sequence[str]], unavailable: Collection[str] = ()) -> tuple[str, ...]:
    """Returns the first group with an arm that can be pulled, without those that cannot; empty when there is none."""
    for rank in ranks:
        if available := tuple(arm for arm in rank if arm not in unavailable):
            return available
    return ()


def _weakness(contender: Contender) -> tuple[float, float, int]:
    price = contender.price
    answered, asked = (0.0, 0.0) if price is None else (price.output, price.input)
    return (-answered, -asked, _FREEDOM[contender.kind])
