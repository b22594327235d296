"""Compares the CPU seconds of two programs on a machine that does other things as well.

Each round runs A B B A, every run in a fresh process: what drifts at a constant rate (a processor's clock, other work) adds
as much to the one as to the other, and no run finds the other's caches only. Rounds are summarised by their median, whose
confidence interval comes from order statistics, so that no distribution has to be assumed for times, which have a long tail.

Let a run take 50 ms or more: starting a process costs some 5 ms of CPU time, the same for both, which draws the ratio of short
runs towards 1.

Sources: Georges, Buytaert & Eeckhout 2007, "Statistically rigorous Java performance evaluation" (fresh processes, warm-up
left out, intervals instead of best runs); Kalibera & Jones 2013, "Rigorous benchmarking in reasonable time" (the ratio of times
as the quantity of interest); Conover 1999, "Practical nonparametric statistics", section 3.2 (intervals of quantiles).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

#: Below what a process's accounting can resolve; a run that took less counts as this.
_RESOLUTION_S = 1e-6


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times as fast a program is as its reference.

    Attributes:
        speedup: Median over rounds of reference's time / program's time: 2 is twice as fast, 0.5 half as fast.
        low: Lower end of its confidence interval.
        high: Upper end.
        confidence: Probability that the interval holds the true median: at least what was asked for if there are rounds
            enough, otherwise what the extremes of that many give.
        program_s: The program's CPU seconds, run by run, in order.
        reference_s: The reference's.
    """

    speedup: float
    low: float
    high: float
    confidence: float
    program_s: tuple[float, ...]
    reference_s: tuple[float, ...]

    @property
    def text(self) -> str:
        """One line about it, for feedback."""
        return (
            f"{self.speedup:.3f} times the reference's speed ({self.confidence:.0%} interval {self.low:.3f} to {self.high:.3f}, "
            f"median {median(self.program_s) * 1000:.1f} ms against {median(self.reference_s) * 1000:.1f} ms of CPU time)"
        )


def interleaved(
    program: Callable[[], float], reference: Callable[[], float], *, rounds: int = 6, warm_up: int = 1, confidence: float = 0.95
) -> Comparison:
    """Times two programs by turns.

    Args:
        program: Runs the program once, in a fresh process, and returns its CPU seconds, such as
            ``lambda: program.execute(stdin=data).cpu_s``. Checking what it answered is the caller's business.
        reference: The same for what it is compared with, such as a `sibling` of the program.
        rounds: Rounds of two runs each; 6 are the fewest for an interval of 95 %.
        warm_up: Runs of each before, which do not count: they fill the caches of files.
        confidence: Wanted of the interval.

    Raises:
        ValueError: If ``rounds`` is not positive, ``warm_up`` is negative, or ``confidence`` is not between 0 and 1.
        ProgramFailed: If a run fails.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be >= 1, got {rounds}")
    if warm_up < 0:
        raise ValueError(f"warm_up must be >= 0, got {warm_up}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    for _ in range(warm_up):
        program()
        reference()
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        ours.append(_timed(program))
        theirs += [_timed(reference), _timed(reference)]
        ours.append(_timed(program))
    pairs = range(0, 2 * rounds, 2)
    ratios = sorted((theirs[i] + theirs[i + 1]) / (ours[i] + ours[i + 1]) for i in pairs)
    depth, reached = _interval(rounds, confidence)
    return Comparison(median(ratios), ratios[depth], ratios[-1 - depth], reached, tuple(ours), tuple(theirs))


def _timed(run: Callable[[], float]) -> float:
    return max(run(), _RESOLUTION_S)


def _interval(n: int, confidence: float) -> tuple[int, float]:
    """How many values may be left out at either end for an interval of the median, and the confidence that leaves.

    The median lies outside the k-th smallest and largest of n values if fewer than k fall on one side: twice the binomial
    probability of fewer than k successes in n at 1/2.
    """
    depth, reached, tail = 0, 0.0, 0.0
    for left_out in range((n + 1) // 2):
        tail += math.comb(n, left_out) / 2**n
        if left_out and 1 - 2 * tail < confidence:
            break
        depth, reached = left_out, 1 - 2 * tail
    return depth, max(reached, 0.0)
