"""The tables of `SEARCH.md`, and the rules by which they are read, which were written down before the figures were made.

**No worse than.** The default counts as no worse than a strategy if it needs less than `MARGIN` times its steps to the mark: for
each seed, the mean over landscapes of log(steps of the default / steps of the other), and Student's 95 % interval of that mean over
seeds; the upper end has to lie below log(`MARGIN`). The open landscapes and the reserved ones are judged apart. It is no worse than
*every* strategy if it is so for each, for which no correction is needed (intersection-union: Berger 1982).

**Pays.** A part pays where the default needs fewer steps with it: where that interval lies below 1, over the open landscapes or the
reserved ones, or where a landscape's own paired test says so, after Holm's correction over the landscapes.

A run that never reaches the mark counts as one step longer than were run. That draws ratios towards 1, so the number of arrivals
stands beside each median.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from search_trials import LANDSCAPES, PARTS, RESERVED, STRATEGIES, Measured, make

from evolve.comparing.inference import compare_pairs, median_interval
from evolve.intervals import Interval, mean_interval
from evolve.significance import holm

#: `default` counts as no worse than a strategy if it needs less than so many times its steps; stated beforehand.
MARGIN = 1.25
#: What is marked in the matrix of ratios.
SIGNIFICANT = 0.05
#: Strategies that the default is to need at most half the steps of.
BASELINES = ("best_of_n", "sequential")

Found = Mapping[tuple[str, str, int], Measured]
"""Runs by landscape, variant and seed."""


def report(items: Sequence[Measured]) -> Iterator[str]:
    """Writes the tables: steps to the mark, what is no worse than what, what each part is worth, known code evaluated again."""
    found = {(item.trial.landscape, item.trial.variant, item.trial.seed): item for item in items}
    landscapes = [name for name in (*LANDSCAPES, *RESERVED) if any(key[0] == name for key in found)]
    for title, variants in (("Strategies", STRATEGIES), ("Parts of the default, changed one at a time", PARTS)):
        others = [name for name in variants if name != "default" and any(key[1] == name for key in found)]
        yield f"\n### {title}\n"
        yield from _marks(found, landscapes, ["default", *others])
        yield ""
        yield from _ways(found, landscapes, ["default", *others])
        yield ""
        yield from _overall(found, landscapes, others)
        yield ""
        yield from _matrix(found, landscapes, others)
    if baselines := [name for name in BASELINES if any(key[1] == name for key in found)]:
        yield "\n### Against the baselines\n"
        yield from _medians(found, landscapes, baselines)
    if noisy := [name for name in landscapes if make(name).noise]:
        yield "\n### Noise\n"
        yield from _noise(found, noisy)
    again, spent_s = 100 * np.mean([item.repeated for item in items]), sum(item.cpu_s for item in items)
    yield f"\n{len(items)} runs; known code evaluated again: {again:.2f} % of evaluations; {spent_s:.0f} CPU s."


def log_ratios(found: Found, landscapes: Sequence[str], other: str) -> dict[int, float]:
    """Returns for each seed the mean over landscapes of log(steps of the default / steps of another), of seeds that have all."""
    seeds = {key[2] for key in found}
    whole = [seed for seed in sorted(seeds) if all((name, v, seed) in found for name in landscapes for v in ("default", other))]
    return {
        seed: float(np.mean([_log_mark(found[name, "default", seed]) - _log_mark(found[name, other, seed]) for name in landscapes]))
        for seed in whole
    }


def ratio_interval(log_ratio_by_seed: Mapping[int, float]) -> Interval | None:
    """Turns log ratios into a geometric mean and its interval; None of fewer than two seeds, which have none."""
    values = np.array(list(log_ratio_by_seed.values()))
    if len(values) < 2:
        return None
    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    return Interval(*(math.exp(end) for end in mean_interval(float(values.mean()), error, len(values))))


def _log_mark(item: Measured) -> float:
    return math.log(max(item.mark, 1))


def _header(first: str, columns: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join([first, *columns])} |"
    yield f"| {' | '.join('---' for _ in [first, *columns])} |"


def _marks(found: Found, landscapes: Sequence[str], variants: Sequence[str]) -> Iterator[str]:
    yield from _header("steps to the mark, median [95 %], arrived", landscapes)
    for variant in variants:
        yield f"| {variant} | {' | '.join(_mark(_of(found, landscape, variant)) for landscape in landscapes)} |"


def _mark(items: Sequence[Measured]) -> str:
    if not items:
        return ""
    interval, limit = median_interval([float(item.mark) for item in items]), items[0].trial.steps
    shown = [f"{value:.0f}" if value <= limit else f">{limit}" for value in (interval.value, interval.low, interval.high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}], {sum(item.arrived for item in items)}/{len(items)}"


def _ways(found: Found, landscapes: Sequence[str], variants: Sequence[str]) -> Iterator[str]:
    yield from _header("percent of the way at the end, median", landscapes)
    for variant in variants:
        ways = [[item.way for item in _of(found, landscape, variant)] for landscape in landscapes]
        yield f"| {variant} | {' | '.join(f'{np.median(values):.1f}' if values else '' for values in ways)} |"


def _overall(found: Found, landscapes: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    """Says what the default is no worse, or better, than; over the open landscapes and the reserved ones."""
    groups = {"open": [name for name in landscapes if name in LANDSCAPES], "reserved": [n for n in landscapes if n in RESERVED]}
    columns = [f"{name}, {what}" for name in groups for what in ("geometric mean [95 %]", "verdict")]
    yield from _header("steps of `default` / steps of", columns)
    for other in others:
        cells = [_verdict(ratio_interval(log_ratios(found, names, other))) if names else " | " for names in groups.values()]
        yield f"| {other} | {' | '.join(cells)} |"


def _verdict(ratio: Interval | None) -> str:
    if ratio is None:
        return " | "
    if ratio.high < 1:
        word = "better"
    elif ratio.high < MARGIN:
        word = "no worse"
    else:
        word = "worse" if ratio.low > 1 else "not shown"
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] | {word}"


def _matrix(found: Found, landscapes: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    """Compares landscape by landscape: geometric means of ratios, with those marked that stand after Holm's correction."""
    yield from _header("steps of `default` / steps of, geometric mean", landscapes)
    for other in others:
        paired = {name: _pairs(found, name, other) for name in landscapes}
        tested = {name: compare_pairs({"default": a, other: b}, -1.0)[0].p for name, (a, b) in paired.items() if a}
        adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
        cells = [_ratio(*paired[name], adjusted[name]) if name in adjusted else "" for name in landscapes]
        yield f"| {other} | {' | '.join(cells)} |"
    yield f"\n\\*: p < {SIGNIFICANT} (paired test over seeds, after Holm's correction over the landscapes of the row)."


def _ratio(default: Sequence[float], other: Sequence[float], p: float) -> str:
    ratio = math.exp(float(np.mean(np.subtract(default, other))))
    return f"{ratio:.2f}{'*' if p < SIGNIFICANT else ''}"


def _pairs(found: Found, landscape: str, other: str) -> tuple[list[float], list[float]]:
    """Returns the log steps of the default and of another, by seeds that both have."""
    own = {item.trial.seed: _log_mark(item) for item in _of(found, landscape, "default")}
    against = {item.trial.seed: _log_mark(item) for item in _of(found, landscape, other)}
    seeds = sorted(own.keys() & against.keys())
    return [own[seed] for seed in seeds], [against[seed] for seed in seeds]


def _medians(found: Found, landscapes: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    """Ratios of medians; where the other's median never arrived the ratio is at most what stands there."""
    yield from _header("median steps of `default` / of", landscapes)
    for other in others:
        yield f"| {other} | {' | '.join(_median_ratio(found, landscape, other) for landscape in landscapes)} |"


def _median_ratio(found: Found, landscape: str, other: str) -> str:
    own, against = _of(found, landscape, "default"), _of(found, landscape, other)
    if not own or not against:
        return ""
    never = np.median([item.mark for item in against]) > against[0].trial.steps
    ratio = np.median([item.mark for item in own]) / np.median([item.mark for item in against])
    return f"{'≤ ' if never else ''}{ratio:.2f}"


def _noise(found: Found, landscapes: Sequence[str]) -> Iterator[str]:
    """Says what measuring again came to, on landscapes with noise."""
    columns = ["variant", "evaluations to the mark, median", "further evaluations", "measured beyond the truth, mean"]
    yield from _header("landscape", [*columns, "truth in the interval"])
    for landscape in landscapes:
        for variant in ("default", "no re-measuring"):
            items = [item for item in _of(found, landscape, variant) if not math.isnan(item.luck)]
            if items:
                further, luck = 100 * np.mean([item.verified for item in items]), np.mean([item.luck for item in items])
                covered = [item.covered for item in items if item.covered is not None]
                shown = f"{sum(covered)}/{len(covered)}" if covered else "no interval"
                spent = _mark_evaluations(items)
                yield f"| {landscape} | {variant} | {spent} | {further:.1f} % | {luck:+.1f} % of the way | {shown} |"


def _mark_evaluations(items: Sequence[Measured]) -> str:
    # A run that never arrived is longer than any other, whatever it evaluated.
    median = np.median([item.mark_evaluations if item.arrived else math.inf for item in items])
    return f"{median:.0f}" if math.isfinite(median) else "never"


def _of(found: Found, landscape: str, variant: str) -> list[Measured]:
    return [item for key, item in sorted(found.items()) if key[:2] == (landscape, variant)]
