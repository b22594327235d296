"""How much seeds matter, how many are needed, and whether sizes rank methods alike."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from moe_trials import Trained, Trial

from evolve.evaluators.moe.fitness import Reference, refer_to
from evolve.evaluators.moe.methods import catalog
from evolve.evaluators.moe.paired import WORTH, seeds_needed
from evolve.evaluators.statistics import mean, standard_error
from evolve.intervals import LEVEL, Interval, mean_interval
from evolve.rng import generator

#: What others are compared with.
REFERENCE = "loss_free"

#: Relative differences of cross-entropy that one may want to find.
RELATIVE = (0.002, 0.005)

#: Baselines that a claim is corrected for in the last column; as many as there are methods for experts of equal cost.
CLAIMS = 20

#: Of the bootstrap.
_DRAWS = 2000

Found = Mapping[str, Mapping[int, Trained]]
"""Trainings by method and seed; those that failed are left out."""


def ordinary(*, unequal: bool = False) -> list[str]:
    """Methods whose cross-entropy means something with experts of equal cost, or with those of unequal cost as well."""
    return [name for name, method in catalog.METHODS.items() if not method.leaks and (unequal or not method.unequal)]


def by_method(trained: Mapping[Trial, Trained], size: str) -> dict[str, dict[int, Trained]]:
    """Sorts the trainings of methods as they are."""
    found: dict[str, dict[int, Trained]] = {}
    for trial, item in trained.items():
        if trial.size == size and not trial.constants and not item.failure:
            found.setdefault(trial.method, {})[trial.seed] = item
    return found


def differences(method: Mapping[int, Trained], reference: Mapping[int, Trained]) -> list[float]:
    """Cross-entropy less the reference's, of the seeds that both have."""
    seeds = sorted(method.keys() & reference.keys())
    return [method[seed].summary.cross_entropy - reference[seed].summary.cross_entropy for seed in seeds]


def reference_of(found: Found) -> Reference:
    """What programs are measured against.

    Raises:
        SystemExit: If there are not two seeds of it that trained.
    """
    known = {seed: item.summary for seed, item in sorted(found.get(REFERENCE, {}).items())}
    if len(known) < 2:
        raise SystemExit(f"error: {REFERENCE} was trained with {len(known)} seed(s); a spread takes two: give --seeds two or more")
    return refer_to(known)


def seeds_report(found: Found, size: str, *, unequal: bool) -> Iterator[str]:
    """Writes the spread over seeds, the seeds needed, and the reference as `evaluators/moe/reference.py` wants it."""
    reference = reference_of(found)
    centre = statistics.mean(reference.cross_entropy.values())
    sought = {f"{WORTH} sigma": WORTH * reference.sigma, **{f"{share:.1%} of CE": share * centre for share in RELATIVE}}
    yield f"| {size} | seeds | CE | sigma of CE | MaxVio | L1 | dead | CE less {REFERENCE}'s [95 %] | sd of differences |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, items in found.items():
        yield f"| {name} | {_spread(items)} | {_difference(differences(items, found[REFERENCE]))} |"
    yield f"\nPairs needed to find a difference from {REFERENCE} with a chance of 80 % (Student, two-sided, 5 %), and after Holm's"
    yield f"correction over {CLAIMS} baselines:\n"
    yield f"| method | {' | '.join(f'{what} ({value:.4f}), of {CLAIMS}' for what, value in sought.items())} |"
    yield f"|---|{'---|' * len(sought)}"
    for name, items in found.items():
        if name != REFERENCE and len(apart := differences(items, found[REFERENCE])) > 1:
            yield f"| {name} | {' | '.join(_needed(statistics.stdev(apart), value) for value in sought.values())} |"
    yield f"\nThe reference, {REFERENCE} (sigma = {reference.sigma:.5f}):\n\n```python"
    numbers = ", ".join(f"{seed}: {value:.5f}" for seed, value in reference.cross_entropy.items())
    limits = f"max_violation={reference.max_violation:.3f}, dead={reference.dead:.4f}"
    yield f'("{size}", {unequal}): Reference({{{numbers}}}, {limits}),\n```'


def _spread(items: Mapping[int, Trained]) -> str:
    summaries = [item.summary for item in items.values()]
    losses = [summary.cross_entropy for summary in summaries]
    sigma = f"{statistics.stdev(losses):.5f}" if len(losses) > 1 else ""
    violation, l1, dead = (mean([getattr(one, name) for one in summaries]) for name in ("max_violation", "l1", "dead"))
    return f"{len(losses)} | {mean(losses):.4f} | {sigma} | {violation:.3f} | {l1:.3f} | {dead:.3f}"


def _difference(apart: Sequence[float]) -> str:
    if len(apart) < 2 or not any(apart):
        return " | "
    interval = mean_interval(mean(apart), standard_error(apart) or 0.0, len(apart))
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}] | {statistics.stdev(apart):.5f}"


def _needed(sd: float, difference: float) -> str:
    level = 1 - LEVEL
    return f"{seeds_needed(sd, difference)}, {seeds_needed(sd, difference, level=level / CLAIMS)}"


def transfer_report(sizes: Mapping[str, Found]) -> Iterator[str]:
    """Writes what each method has at both sizes, and how far they rank methods alike."""
    (small, first), (large, second) = sizes.items()
    names = [name for name in first if name in second]
    yield f"| method | CE, {small} | CE, {large} | MaxVio, {small} | MaxVio, {large} | seeds |\n|---|---|---|---|---|---|"
    for name in names:
        cells = [f"{_mean(found[name], field):.4f}" for field in ("cross_entropy", "max_violation") for found in (first, second)]
        yield f"| {name} | {' | '.join(cells)} | {len(first[name])}, {len(second[name])} |"
    yield ""
    if len(names) < 3:
        yield f"Rankings of {len(names)} methods say nothing: 3 are needed."
        return
    for field, what in (("cross_entropy", "cross-entropy"), ("max_violation", "MaxVio")):
        rho = rank_interval(first, second, names, field)
        yield (
            f"- Spearman's rank correlation of {what} between {small} and {large}, {len(names)} methods: {rho.value:.2f} "
            f"[{rho.low:.2f}, {rho.high:.2f}] (percentile bootstrap over seeds, {_DRAWS} draws)"
        )


def rank_interval(first: Found, second: Found, names: Sequence[str], field: str) -> Interval:
    """Spearman's rank correlation of two sizes' means over seeds, and where it might have come out with other seeds.

    Seeds are drawn with replacement, at each size by themselves, the same for all methods: they are what the methods share. The
    interval is of the bootstrap's percentiles, and says nothing of other methods. Means of drawn seeds spread more than the means
    they are made of, which draws ranks together: with few seeds the interval lies low.

    Source: Spearman 1904; Efron & Tibshirani 1993, chapter 13.

    Args:
        first: Trainings at one size.
        second: Trainings at the other.
        names: Methods, 3 or more, with the same seeds within each size.
        field: Of `Summary`.

    Raises:
        ValueError: If methods of one size have no seed in common.
    """
    a, b = _values(first, names, field), _values(second, names, field)
    rng = generator(0, 0, f"benchmarks.moe/{field}")
    drawn = []
    for _ in range(_DRAWS):
        means = [values[:, rng.integers(values.shape[1], size=values.shape[1])].mean(1) for values in (a, b)]
        drawn.append(spearman(*means))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(spearman(a.mean(1), b.mean(1)), float(low), float(high))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of ranks, ``(n,)`` each; ties share their mean rank, and what is the same for all ranks nothing (0)."""
    from scipy.stats import rankdata  # half a second to import

    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (a, b)]
    norm = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum()) / norm if norm > 0 else 0.0


def _values(found: Found, names: Sequence[str], field: str) -> np.ndarray:
    """``(methods, seeds)``, of the seeds that all have."""
    seeds = sorted(set.intersection(*(set(found[name]) for name in names)))
    if not seeds:
        raise ValueError(f"{', '.join(names)} have no seed in common; train them with the same ones")
    return np.array([[getattr(found[name][seed].summary, field) for seed in seeds] for name in names])


def _mean(items: Mapping[int, Trained], field: str) -> float:
    return mean([getattr(item.summary, field) for item in items.values()])
