"""One number for a training that trades cross-entropy against balance; three ways, none of which hides the other two."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from evolve.evaluators.moe.metrics import dead_share, l1_imbalance, max_violation

if TYPE_CHECKING:
    from evolve.evaluators.moe.measuring import Measured  # needs torch

#: Coefficients of the balancing loss that a method is trained with to see its whole trade: to find a better coefficient is no
#: discovery. 0.01 is what most publish; Lange et al., arXiv 2509.19349, check their loss at 0.001, 0.01 and 0.1.
SWEEP = (0.001, 0.01, 0.03, 0.1)

#: Twice the violation allowed costs half of this, in standard deviations. Giving up balance gains less than one of them per
#: limit exceeded (no balancing against loss-free, six pairs at size smoke), so that 1^2 / (4 x 4) = 0.06 is the most that it pays.
VIOLATION_WEIGHT = 4.0

#: So much more than is allowed of dead experts, a share of all, costs half of the weight below. Limits on them are mostly 0, which
#: is no unit; a single expert of the smallest size, which has 16 in its layers, is one in twenty.
DEAD_UNIT = 0.05

#: As high as that of a violation, in standard deviations.
DEAD_WEIGHT = 4.0

#: Twice the computation allowed costs half of this, in standard deviations. Cross-entropy falls with about the 0.05th power of
#: compute (Kaplan et al., arXiv 2001.08361); where a standard deviation is as small as a 600th of it, that is 30 of them per unit.
#: What computing a little more can gain is then 30^2 / (4 x 1000) = 0.2 at most, less than the 0.5 that a verdict asks for.
ACTIVE_WEIGHT = 1000.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What fitness asks of a training.

    Attributes:
        cross_entropy: Nats per byte of held-out text.
        max_violation: MaxVio_global, of the choices of all held-out text; mean over layers.
        dead: Share of experts that are hardly used, from 0 to 1.
        active: Operations of the chosen experts, in units of those of k full experts per token.
        l1: L_imb of the same choices, from 0 to 2.
    """

    cross_entropy: float
    max_violation: float
    dead: float
    active: float
    l1: float

    def __post_init__(self) -> None:
        for name in ("cross_entropy", "max_violation", "dead", "active", "l1"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number >= 0, got {value}; a training that diverged has no fitness")


@dataclass(frozen=True, slots=True)
class Reference:
    """What programs are measured against: one method, trained with several seeds.

    Attributes:
        cross_entropy: Nats per byte of held-out text, by seed.
        max_violation: The most that a program may have (v*), > 0.
        dead: The largest share of dead experts that a program may have (d*).
    """

    cross_entropy: Mapping[int, float]
    max_violation: float
    dead: float = 0.0

    def __post_init__(self) -> None:
        if len(self.cross_entropy) < 2:
            raise ValueError(f"a reference needs 2 seeds or more, for their standard deviation; got {len(self.cross_entropy)}")
        if not self.sigma > 0:
            raise ValueError("the reference has the same cross-entropy with every seed; its standard deviation is no unit")
        if not self.max_violation > 0:
            raise ValueError(f"max_violation must be > 0, as what is above it is measured in units of it; got {self.max_violation}")
        if not 0 <= self.dead <= 1:
            raise ValueError(f"dead must lie in [0, 1], got {self.dead}")

    @property
    def sigma(self) -> float:
        """Standard deviation of the cross-entropy over seeds, with n - 1 in the variance."""
        return statistics.stdev(self.cross_entropy.values())


class Point(NamedTuple):
    """A training in the plane of the two aims, both the less the better."""

    cross_entropy: float
    imbalance: float


def summarise(measured: Measured) -> Summary:
    """Takes from a measurement what fitness asks for; choices of all domains are counted together."""
    counts = measured.counts.sum(0)
    return Summary(
        measured.mean_cross_entropy,
        max_violation(counts),
        dead_share(counts),
        measured.active,
        l1_imbalance(counts),
    )


def refer_to(trainings: Mapping[int, Summary]) -> Reference:
    """Makes a reference of trainings of one method.

    The limits are the worst that it had with any seed, so that the method itself keeps them.

    Args:
        trainings: By seed.

    Raises:
        ValueError: If there are fewer than two, or they are all the same.
    """
    return Reference(
        {seed: summary.cross_entropy for seed, summary in trainings.items()},
        max((summary.max_violation for summary in trainings.values()), default=0.0),
        max((summary.dead for summary in trainings.values()), default=0.0),
    )


def constrained(summary: Summary, reference: Reference, seed: int) -> float:
    """Fitness by cross-entropy among those that keep their balance and their compute; the more the better.

    The gain on the reference's training with the same seed, in standard deviations over seeds, less what exceeding the limits
    costs. The reference has 0 with every seed.

    Args:
        summary: Of a training with that seed.
        reference: What it is measured against.
        seed: Of both.

    Raises:
        ValueError: If the reference was not trained with that seed.
    """
    if seed not in reference.cross_entropy:
        known = ", ".join(map(str, sorted(reference.cross_entropy)))
        raise ValueError(f"the reference has no training with seed {seed}; it has {known}: train it with this one too")
    return (reference.cross_entropy[seed] - summary.cross_entropy) / reference.sigma - penalty(summary, reference)


def penalty(summary: Summary, reference: Reference) -> float:
    """What exceeding the limits costs, in standard deviations; 0 within them, and nowhere a step or a kink."""
    return (
        VIOLATION_WEIGHT * _bend(summary.max_violation / reference.max_violation - 1)
        + DEAD_WEIGHT * _bend((summary.dead - reference.dead) / DEAD_UNIT)
        + ACTIVE_WEIGHT * _bend(summary.active - 1)
    )


def _bend(excess: float) -> float:
    """x^2 / (1 + x) above 0: a parabola first, so that noise at a limit costs nothing, a line later, so that all is comparable."""
    above = max(0.0, excess)
    return above * above / (1 + above)


def shinka(cross_entropy: float, l1: float) -> float:
    """Fitness of ShinkaEvolve: -(CE + L_imb); the more the better.

    Small models differ in L_imb by a hundred times as much as in cross-entropy: it mostly says who balances best.

    Source: Lange et al., arXiv 2509.19349, section 4.4. Theirs takes the cross-entropy of the last training batches.
    """
    return -(cross_entropy + l1)


def frontier(points: Iterable[Point], worst: Point) -> float:
    """Fitness of a whole sweep of coefficients: the area that its trainings dominate, up to a point of reference.

    A method is judged by the curve that it offers (see `SWEEP`), and points that another one dominates add nothing.

    Source: hypervolume, Zitzler & Thiele 1998; of two aims it is a sum of rectangles.

    Args:
        points: One per training, in any order.
        worst: The corner that areas are measured from; what is not better than it in both aims adds nothing. Areas compare only
            if they have the same one.

    Returns:
        Nats per byte times imbalance.

    Raises:
        ValueError: If a number is not finite.
    """
    inside = sorted(Point(*point) for point in points)
    if not all(math.isfinite(value) for point in (*inside, worst) for value in point):
        raise ValueError(f"points must be finite, got {[tuple(point) for point in inside]} and the worst {tuple(worst)}")
    area, lowest = 0.0, worst.imbalance
    for point in inside:
        if point.cross_entropy < worst.cross_entropy and point.imbalance < lowest:
            area += (worst.cross_entropy - point.cross_entropy) * (lowest - point.imbalance)
            lowest = point.imbalance
    return area
