"""The verdicts of `validate_models.py`: pairs of runs, the exact test of them, and what is said of a hypothesis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from evolve.comparing.comparison import Comparison
from evolve.comparing.inference import superiority

STRATEGY = "default"
#: By hypothesis.
BASELINES = {"H1": "best_of_n", "H2": "sequential"}
#: Of false alarms, over all hypotheses together.
LEVEL = 0.05
#: Share of pairs: the least advantage that is worth having.
WORTH = 0.75
#: Chance of finding what is there.
POWER = 0.8
#: Beyond so many pairs nobody will look.
_MOST_PAIRS = 2000


class Pairs(NamedTuple):
    """How the pairs of a strategy and a baseline came out.

    Attributes:
        wins, losses, ties: Of the strategy.
    """

    wins: int
    losses: int
    ties: int

    @property
    def n(self) -> int:
        """Pairs in all."""
        return self.wins + self.losses + self.ties

    @property
    def share(self) -> float:
        """Share of pairs won, ties half."""
        return superiority([1.0] * self.wins + [-1.0] * self.losses + [0.0] * self.ties)


class Verdict(NamedTuple):
    """What is said of a hypothesis.

    Attributes:
        finding: ``"supported"``, ``"not supported"`` or ``"undecided"``.
        needed: Pairs that would be needed, where it is undecided; None where it is not, or where more than 2000 would be.
        why: A sentence.
    """

    finding: str
    needed: int | None
    why: str


def sign_p(pairs: Pairs) -> float:
    """Tests exactly whether wins and losses are as likely; two-sided, ties left out.

    Source: Arbuthnot 1710; Conover 1999, section 3.4.
    """
    n, fewer = pairs.wins + pairs.losses, min(pairs.wins, pairs.losses)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / (1 << n))


def fewest_pairs(n_hypotheses: int) -> int:
    """Says below how many pairs no hypothesis can be supported, even if all of them are won."""
    return next(n for n in range(1, _MOST_PAIRS) if n_hypotheses * sign_p(Pairs(n, 0, 0)) <= LEVEL)


def pairs_needed(share: float, n_hypotheses: int) -> int | None:
    """Says how many pairs find an advantage with chance `POWER`, even where every hypothesis takes its part of the level.

    Args:
        share: Of pairs that the strategy wins in truth, > 0.5.
        n_hypotheses: Among which the level is divided.

    Returns:
        None if more than 2000 are needed.
    """
    import numpy as np
    from scipy.stats import binom  # half a second to import

    n = np.arange(1, _MOST_PAIRS + 1)
    # Fewer wins than `enough` are no finding: the least with a chance of at most half the level, were wins and losses as likely.
    enough = binom.isf(LEVEL / n_hypotheses / 2, n, 0.5) + 1
    found = np.flatnonzero(binom.sf(enough - 1, n, share) >= POWER)
    return int(n[found[0]]) if found.size else None


def rules_out_worth(pairs: Pairs) -> bool:
    """Says whether an advantage of `WORTH` would have given so few wins with a chance of at most `LEVEL` only."""
    n = pairs.wins + pairs.losses
    return sum(math.comb(n, k) * WORTH**k * (1 - WORTH) ** (n - k) for k in range(pairs.wins + 1)) <= LEVEL


def judge(pairs: Pairs, adjusted: float, n_hypotheses: int) -> Verdict:
    """Gives the verdict on a hypothesis, by the rules stated above."""
    if adjusted <= LEVEL and pairs.wins != pairs.losses:
        if pairs.wins > pairs.losses:
            return Verdict("supported", None, "it wins more pairs than chance explains")
        return Verdict("not supported", None, "the baseline wins more pairs than chance explains")
    if rules_out_worth(pairs):
        return Verdict("not supported", None, "so few wins rule out an advantage in three of four pairs")
    untied = pairs.wins + pairs.losses
    seen = pairs.wins > pairs.losses
    needed = pairs_needed(pairs.wins / untied if seen else WORTH, n_hypotheses)
    if needed is not None and untied:
        needed = math.ceil(needed * pairs.n / untied)  # ties are to be expected again, and say nothing
    count = f"more than {_MOST_PAIRS}" if needed is None else f"about {needed}"
    said = "an advantage like the one seen" if seen else "an advantage in three of four pairs"
    return Verdict("undecided", needed, f"{count} pairs would be needed to find {said} with a chance of {POWER:g}, if it is there")


def count_pairs(comparison: Comparison, baseline: str, *, areas: bool = False) -> Pairs:
    """Counts the pairs of a comparison, by the final objective or by the area under the curve."""
    ours, theirs = comparison.strategy(STRATEGY), comparison.strategy(baseline)
    sign = 1.0 if areas else comparison.direction.oriented(1.0)
    columns = (ours.areas, theirs.areas) if areas else (ours.values, theirs.values)
    gains = [sign * (a - b) for a, b in zip(*columns, strict=True)]
    return Pairs(sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains), sum(gain == 0 for gain in gains))


def together(parts: Sequence[Pairs]) -> Pairs:
    """Adds the pairs of several tasks."""
    return Pairs(sum(part.wins for part in parts), sum(part.losses for part in parts), sum(part.ties for part in parts))
