"""Shows a comparison: as JSON, and as a report in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from evolve.comparing.comparison import CHECKPOINTS, Comparison, StrategyResult, checkpoint_budgets
from evolve.comparing.curves import Axis
from evolve.comparing.inference import PairTest, widest_coverage
from evolve.intervals import LEVEL, Interval
from evolve.significance import smallest_p

Json = dict[str, Any]  # Any: JSON values


def as_json(comparison: Comparison) -> Json:
    """Returns what `evolve compare --json` prints."""
    return {
        "task": comparison.task,
        "metric": comparison.metric,
        "direction": str(comparison.direction),
        "evaluator_sha256": comparison.evaluator_sha256,
        "arms": list(comparison.arms),
        "budget": {"axis": str(comparison.axis), "amount": comparison.budget},
        "seeds": list(comparison.seeds),
        "strategies": [_strategy_json(result) for result in comparison.strategies],
        "tests": [_test_json(test) for test in comparison.tests],
        "smallest_p": smallest_p(len(comparison.seeds)),
        "widest_coverage": widest_coverage(len(comparison.seeds)),
    }


def _strategy_json(result: StrategyResult) -> Json:
    return {
        "strategy": result.strategy,
        **_interval_json("median", result.median),
        "values": list(result.values),
        "checkpoints": [
            {"at": point.at, **_interval_json("median", point.median), "values": list(point.values)} for point in result.checkpoints
        ],
        "area": {**_interval_json("median", result.area), "values": list(result.areas)},
        "runs": [
            {
                "run": run.number,
                "name": run.name,
                "seed": run.seed,
                "initial": run.initial,
                "best": run.value,
                "program": run.program,
                "noise": None if run.noise is None else _interval_json("mean", run.noise),
                "holdout": run.holdout,
                "early": run.early,
                "steps": run.steps,
                "usd": run.usd,
                "seconds": run.seconds,
            }
            for run in result.runs
        ],
    }


def _interval_json(name: str, interval: Interval) -> Json:
    return {name: interval.value, "low": interval.low, "high": interval.high}


def _test_json(test: PairTest) -> Json:
    return {
        "first": test.first,
        "second": test.second,
        "n": test.n,
        **_interval_json("difference", test.difference),
        "superiority": test.superiority,
        "method": test.method,
        "p": test.p,
        "p_adjusted": test.adjusted,
    }


# Markdown


def as_markdown(comparison: Comparison, figure: str = "") -> str:
    """Writes the report.

    Args:
        comparison: What is shown.
        figure: Where the figure is, as seen from the report's file; empty for none.
    """
    parts = [
        f"# Strategies on {comparison.task}",
        _setting(comparison),
        *([f"![Best {comparison.metric} so far]({figure})"] if figure else []),
        f"## At the full budget, {budget_text(comparison.axis, comparison.budget)}",
        _results_table(comparison),
        coverage_text(len(comparison.seeds)),
        *_remarks(comparison),
        "## Along the way",
        _checkpoints_table(comparison),
        "*Area* is the area under the curve of the best so far, between the worst initial objective (0) and the best that any of "
        "these runs reached (1), averaged over the budget. It compares strategies within this report only.",
        *(["## Pairs", _tests_table(comparison), attainable_text(comparison), _TESTED] if comparison.tests else []),
        "## Runs",
        _runs_table(comparison),
    ]
    return "\n\n".join(parts) + "\n"


_TESTED = (
    "Differences are first minus second, between runs with the same seed. *First better* is the share of seeds on which the first "
    "wins, ties counted half. Only the objective at the full budget is tested; everything else here is described."
)


def _setting(comparison: Comparison) -> str:
    n = len(comparison.seeds)
    known = "" if comparison.best_known is None else f", best known {figures(comparison.best_known)}"
    return (
        f"{counted(len(comparison.strategies), 'strategy', 'strategies')} × {counted(n, 'seed', 'seeds')} "
        f"({', '.join(map(str, comparison.seeds))}), each run with {budget_text(comparison.axis, comparison.budget)} and the arms "
        f"{', '.join(f'`{arm}`' for arm in comparison.arms)}. Objective: `{comparison.metric}`, {comparison.direction}{known}. "
        f"Evaluator `{comparison.evaluator_sha256[:12]}`."
    )


def _results_table(comparison: Comparison) -> str:
    held_out = any(run.holdout is not None for result in comparison.strategies for run in result.runs)
    rows = []
    for result in comparison.strategies:
        held = [run.holdout for run in result.runs]
        rows.append(
            [
                f"`{result.strategy}`",
                interval_text(result.median),
                ", ".join(figures(value) for value in result.values),
                *([", ".join("–" if value is None else figures(value) for value in held)] if held_out else []),
            ]
        )
    heads = ["strategy", f"median ({LEVEL:.0%} interval)", "values, by seed", *(["held-out values"] if held_out else [])]
    return markdown_table(heads, rows)


def _checkpoints_table(comparison: Comparison) -> str:
    budgets = checkpoint_budgets(comparison.axis, comparison.budget)
    shares = [f"{share:.0%} ({budget_text(comparison.axis, at)})" for share, at in zip(CHECKPOINTS, budgets, strict=True)]
    rows = [
        [
            f"`{result.strategy}`",
            *(interval_text(point.median) for point in result.checkpoints),
            interval_text(result.area, share_text),
        ]
        for result in comparison.strategies
    ]
    return markdown_table(["strategy", *shares, "area"], rows)


def _tests_table(comparison: Comparison) -> str:
    heads = ["first", "second", "median difference", "first better", "p", "p, Holm", "test"]
    rows = [
        [
            f"`{test.first}`",
            f"`{test.second}`",
            interval_text(test.difference),
            f"{test.superiority:.0%}",
            p_text(test.p),
            p_text(test.adjusted),
            test.method,
        ]
        for test in comparison.tests
    ]
    return markdown_table(heads, rows)


def _runs_table(comparison: Comparison) -> str:
    runs = [run for result in comparison.strategies for run in result.runs]
    noisy = any(run.noise is not None for run in runs)
    paid = any(run.usd for run in runs)
    heads = ["run", "initial", "best", *(["its mean"] if noisy else []), "steps", *(["usd"] if paid else []), "seconds"]
    rows = [
        [
            f"`{run.name}`",
            figures(run.initial),
            figures(run.value),
            *(["–" if run.noise is None else interval_text(run.noise)] if noisy else []),
            str(run.steps),
            *([f"{run.usd:.4f}"] if paid else []),
            f"{run.seconds:.1f}",
        ]
        for run in runs
    ]
    return markdown_table(heads, rows)


def _remarks(comparison: Comparison) -> list[str]:
    """What a reader must know of these runs in particular."""
    runs = [run for result in comparison.strategies for run in result.runs]
    remarks = []
    early = sum(run.early for run in runs)
    if early:
        remarks.append(
            f"{early} of {len(runs)} runs ended before the budget was spent, at another limit; they count with the best they had."
        )
    if any(run.noise is not None for run in runs):
        remarks.append(
            "The objective is measured with noise: the table of runs gives an interval of each best program's own mean. Where a "
            "run is finished it comes from measurements that nothing was picked by; the best itself, and every other interval, is "
            "on average too good: the best of many noisy programs is the luckiest of them as well."
        )
    return remarks


# Words that the command line shares


def budget_text(axis: Axis, budget: float) -> str:
    """Writes part of a budget with its unit."""
    if axis is Axis.STEPS:
        return counted(int(budget), "step", "steps")
    return f"{budget:.4g} usd" if axis is Axis.USD else f"{budget:.4g} s"


def coverage_text(n: int) -> str:
    """Says what the intervals are, and what n seeds can tell at most."""
    text = f"Intervals are {LEVEL:.0%} percentile bootstrap intervals of the median over {counted(n, 'seed', 'seeds')}."
    if widest_coverage(n) >= LEVEL:
        return text
    return (
        f"{text} With so few, the whole range of the values covers the true median with probability "
        f"{widest_coverage(n):.3g} only, and no interval within it can do better."
    )


def attainable_text(comparison: Comparison) -> str:
    """Says which p-values the number of seeds allows at all."""
    n, pairs = len(comparison.seeds), len(comparison.tests)
    lowest = smallest_p(n)
    adjusted = min(1.0, lowest * pairs)
    corrected = f" ({adjusted:.2g} after Holm's correction over {pairs} pairs)" if pairs > 1 else ""
    if n < 6:
        return f"With {counted(n, 'seed', 'seeds')} no p-value below {lowest:.2g}{corrected} is attainable, whatever the values."
    return f"The smallest p-value that {n} seeds can give is {lowest:.2g}{corrected}."


def p_text(p: float) -> str:
    """Writes a p-value with two digits, as a number and without marks."""
    return f"{p:.2g}"


def interval_text(interval: Interval, write: Callable[[float], str] | None = None) -> str:
    """Writes a value and its interval; ``write`` writes one number, `figures` by default."""
    value, low, high = map(write or figures, interval)
    return f"{value} [{low}, {high}]"


def share_text(share: float) -> str:
    """Writes a number between 0 and 1."""
    return f"{share:.3f}"


def figures(value: float) -> str:
    """Writes a number with six digits, or with as many as its whole part has."""
    if value and math.isfinite(value) and 1e6 <= abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{value:.6g}"


def counted(count: int, one: str, many: str) -> str:
    """Writes a number of things."""
    return f"{count} {one if count == 1 else many}"


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Writes a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
