"""What trainings with the same seeds say of a method and of those that it is held against.

Trainings with one seed have the same initial weights, batches and noise, so that their differences spread less than they do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from evolve.evaluators.moe.fitness import Summary
from evolve.evaluators.statistics import mean, standard_error
from evolve.intervals import LEVEL, Interval, mean_interval
from evolve.significance import holm, student_p

#: A gain in cross-entropy that is worth having, in standard deviations of the baseline's over seeds.
WORTH = 0.5

#: A loss of cross-entropy that counts as none, in the same unit.
TOLERATED = 0.2

#: A gain in balance that is worth having, as a share of the baseline's imbalance.
FLATTER = 0.2


class Claim(NamedTuple):
    """Something that may be said of two methods.

    Attributes:
        p: Two-sided p-value of what speaks against it; 1 where the mean points the other way.
        adjusted: The same after Holm's correction over all claims that were tested together.
        worth: Whether the mean difference is large enough to matter.
    """

    p: float
    adjusted: float
    worth: bool

    @property
    def holds(self) -> bool:
        """Whether it is both significant and worth something."""
        return self.worth and self.adjusted < 1 - LEVEL


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a method compares with one baseline.

    Attributes:
        baseline: Its name.
        n: Pairs, one per seed.
        cross_entropy: Mean of the method's less the baseline's, nats per byte, with its interval at `LEVEL`, uncorrected.
        imbalance: The same of L_imb.
        reduction: By how much the method's mean L_imb is lower, as a share of the baseline's; negative where it is higher.
        predicts_better: That it has the lower cross-entropy, by `WORTH` at least.
        balances_better: That it has the lower L_imb, by `FLATTER` at least, at a cross-entropy no worse than by `TOLERATED`.
    """

    baseline: str
    n: int
    cross_entropy: Interval
    imbalance: Interval
    reduction: float
    predicts_better: Claim
    balances_better: Claim

    @property
    def beats(self) -> bool:
        """Whether either claim holds."""
        return self.predicts_better.holds or self.balances_better.holds


class RankCorrelation(NamedTuple):
    """How far two measures rank the same things alike.

    Attributes:
        n: Things.
        rho: Spearman's, with an interval at `LEVEL`.
        tau: Kendall's, of which (1 + tau) / 2 is the share of pairs in the same order where nothing is tied.
    """

    n: int
    rho: Interval
    tau: float


class _Pairs(NamedTuple):
    """Paired differences, method less baseline, and the means they come from."""

    cross_entropy: list[float]
    imbalance: list[float]
    reduction: float


def judge(method: Mapping[int, Summary], baselines: Mapping[str, Mapping[int, Summary]], sigma: float) -> list[Verdict]:
    """Says which baselines a method beats.

    Two claims are tested against each baseline, and Holm's correction is over all of them, since either is enough to beat one. The
    claim about balance joins two (less imbalance, cross-entropy no worse) and is as uncertain as the less certain of them
    (Berger 1982). Student's test is used because few pairs cannot give a small enough p-value by signs alone: of ten pairs it is
    0.00195 at the least, and twenty baselines ask for 0.00125.

    The seeds must be none that the method was found with: the best of many is lucky with those.

    Args:
        method: Summary of its trainings, by seed.
        baselines: The same by baseline, each with the same seeds.
        sigma: Standard deviation of cross-entropy over seeds, nats per byte, that margins are multiples of; see `Reference`.

    Returns:
        A verdict per baseline, in the order given.

    Raises:
        ValueError: If seeds differ, there are fewer than two, or sigma is not positive.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be > 0, got {sigma}")
    pairs = {name: _pair(name, method, trainings) for name, trainings in baselines.items()}
    p_values = [p for each in pairs.values() for p in _p_values(each, sigma)]
    adjusted = holm(p_values)
    return [
        Verdict(
            name,
            len(each.cross_entropy),
            _interval(each.cross_entropy),
            _interval(each.imbalance),
            each.reduction,
            Claim(p_values[2 * place], adjusted[2 * place], mean(each.cross_entropy) <= -WORTH * sigma),
            Claim(p_values[2 * place + 1], adjusted[2 * place + 1], each.reduction >= FLATTER),
        )
        for place, (name, each) in enumerate(pairs.items())
    ]


def seeds_needed(sd_of_differences: float, difference: float, power: float = 0.8, level: float = 1 - LEVEL) -> int:
    """Says how many pairs find a difference with a chance of ``power``, if it is there.

    ``n = (z_{1 - level/2} + z_power)^2 sd^2 / difference^2 + z_{1 - level/2}^2 / 2``, rounded up. The spread is that of paired
    differences: two groups that are not paired need twice as many each, with the spread of single values. The last term makes up
    for the spread being estimated; with it the exact number is missed by one at most.

    Source: Guenther 1981, The American Statistician 35 (4).

    Args:
        sd_of_differences: Standard deviation of the paired differences.
        difference: To be found, in the same unit; its sign does not matter.
        power: In (0, 1).
        level: Two-sided, in (0, 1); with several tests, divided by their number.

    Raises:
        ValueError: If a number is out of range.
    """
    if not (math.isfinite(sd_of_differences) and sd_of_differences >= 0):
        raise ValueError(f"sd_of_differences must be a finite number >= 0, got {sd_of_differences}")
    if not abs(difference) > 0:
        raise ValueError(f"difference must not be 0: no number of seeds finds none; got {difference}")
    if not (0 < power < 1 and 0 < level < 1):
        raise ValueError(f"power and level must lie in (0, 1), got {power} and {level}")
    normal = NormalDist()
    alarm = normal.inv_cdf(1 - level / 2)
    detail = max(0.0, alarm + normal.inv_cdf(power)) * sd_of_differences / abs(difference)
    return max(2, math.ceil(detail**2 + alarm**2 / 2))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation:
    """Compares two rankings, such as those of methods by a small and by a large model; ties share the mean of their ranks.

    The interval of Spearman's is Fisher's, with the standard error of Bonett & Wright 2000: sqrt((1 + rho^2 / 2) / (n - 3)). Where
    rankings agree wholly, it reaches as far as if two neighbours had changed places: a correlation of 1 has no width to go by.

    Args:
        first: ``(n,)`` finite values, 4 or more.
        second: ``(n,)`` values of the same things.

    Raises:
        ValueError: If there are fewer, the numbers of values differ, one is not finite, or all of one measure are the same.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 4:
        raise ValueError(f"rankings need 4 or more things and a value of each in both, got shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("rankings need finite values; leave out what failed in either")
    if (a == a[0]).all() or (b == b[0]).all():
        raise ValueError("a measure that is the same for all ranks nothing")
    from scipy.stats import kendalltau, spearmanr  # half a second to import, and only needed when rankings are compared

    rho = float(np.clip(spearmanr(a, b).statistic, -1.0, 1.0))
    return RankCorrelation(len(a), _fisher(rho, len(a)), float(kendalltau(a, b).statistic))


def _fisher(rho: float, n: int) -> Interval:
    furthest = 1 - 12 / (n * (n * n - 1))  # of two neighbours exchanged: their squared differences sum to 2
    known = max(-furthest, min(furthest, rho))
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt((1 + known**2 / 2) / (n - 3))
    low, high = math.tanh(math.atanh(known) - reach), math.tanh(math.atanh(known) + reach)
    return Interval(rho, -1.0 if rho < known else low, 1.0 if rho > known else high)


def _pair(name: str, method: Mapping[int, Summary], baseline: Mapping[int, Summary]) -> _Pairs:
    if method.keys() != baseline.keys():
        alone = ", ".join(map(str, sorted(method.keys() ^ baseline.keys())))
        raise ValueError(f"baseline {name!r} and the method must have the same seeds; only one of them has {alone}")
    if len(method) < 2:
        raise ValueError(f"a verdict needs 2 seeds or more, got {len(method)}")
    seeds = sorted(method)
    before, after = (mean([trainings[seed].l1 for seed in seeds]) for trainings in (baseline, method))
    return _Pairs(
        [method[seed].cross_entropy - baseline[seed].cross_entropy for seed in seeds],
        [method[seed].l1 - baseline[seed].l1 for seed in seeds],
        1 - after / before if before > 0 else 0.0,
    )


def _p_values(pairs: _Pairs, sigma: float) -> tuple[float, float]:
    """P-values of both claims: lower cross-entropy; lower imbalance at a cross-entropy that is no worse."""
    no_worse = _below(pairs.cross_entropy, TOLERATED * sigma)
    return _below(pairs.cross_entropy, 0.0), max(_below(pairs.imbalance, 0.0), no_worse)


def _below(differences: Sequence[float], limit: float) -> float:
    """P-value of a mean that lies below a limit."""
    return student_p(differences, limit) if mean(differences) < limit else 1.0


def _interval(differences: Sequence[float]) -> Interval:
    return mean_interval(mean(differences), standard_error(differences) or 0.0, len(differences))
