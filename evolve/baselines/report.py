"""Shows what the measurements of a task's baselines say: as JSON, and as a report in Markdown."""

from __future__ import annotations

import math
from typing import Any

from evolve.baselines.results import Difference, Mean, Results, Row
from evolve.comparing.report import counted, figures, markdown_table, p_text
from evolve.intervals import LEVEL
from evolve.program import Outcome, Stage
from evolve.significance import smallest_p

Json = dict[str, Any]  # Any: JSON values

_LIST_SEEDS = 12
#: Halves of intervals that say to how many places a mean is written; others are written apart.
_LEAST, _MOST = 1e-9, 1e9


def as_json(results: Results) -> list[Json]:
    """Returns what `evolve task baselines --json` prints: an object for each baseline."""
    return [_row_json(results, row) for row in results.rows]


def _row_json(results: Results, row: Row) -> Json:
    baseline = row.program.baseline
    return {
        "name": baseline.name,
        "about": baseline.about,
        "unfit": baseline.unfit,
        "source": ", ".join(map(str, row.program.paths)),
        "source_sha256": row.program.source_sha256,
        "outcome": str(row.outcome),
        "failed": row.failed,
        "feedback": row.feedback,
        "seeds": list(results.seeds),
        "objective": None if row.objective is None else row.objective.value,
        "interval": _interval_json(row.objective),
        "values": list(row.values),
        "metrics": {name: each.value for name, each in row.metrics.items()},
        "intervals": {name: _interval_json(each) for name, each in row.metrics.items()},
        "difference": None if row.difference is None else _difference_json(results, row.difference),
        "seconds": row.seconds,
        "artifacts": list(row.artifacts),
    }


def _interval_json(mean: Mean | None) -> Json | None:
    return None if mean is None or mean.interval is None else {"low": mean.interval.low, "high": mean.interval.high}


def _difference_json(results: Results, difference: Difference) -> Json:
    return {
        "reference": results.reference,
        "mean": difference.mean.value,
        "interval": _interval_json(difference.mean),
        "method": difference.method,
        "p": difference.p,
        "p_adjusted": difference.adjusted,
    }


# Markdown


def as_markdown(results: Results, *, command: str, commit: str = "", figure: str = "") -> str:
    """Writes the report.

    Args:
        results: What is shown.
        command: What makes it again.
        commit: Of the task's folder; empty where it has none.
        figure: Where the figure is, as seen from the report's file; empty for none.
    """
    parts = [
        f"# Baselines of {results.task.name}",
        _setting(results),
        *([f"![Baselines]({figure})"] if figure else []),
        _table(results),
        *_remarks(results),
        "## How this was measured",
        _circumstances(results, command, commit),
    ]
    return "\n\n".join(parts) + "\n"


def _setting(results: Results) -> str:
    objective, n = results.task.objective, len(results.seeds)
    listed = ", ".join(map(str, results.seeds)) if n <= _LIST_SEEDS else f"{results.seeds[0]} to {results.seeds[-1]}"
    if results.stages == (Stage.PAIRED,):
        paired = ", measured by the task's `paired`: all randomness comes from the seed"
    else:
        paired = ", measured by the task's `evaluate`"
    return (
        f"{counted(len(results.rows), 'baseline', 'baselines')} × {counted(n, 'seed', 'seeds')} ({listed}){paired}. Objective: "
        f"`{objective.metric}`, {objective.direction}. Differences are to `{results.reference}`. Evaluator "
        f"`{results.task.evaluator_sha256[:12]}`."
    )


def _table(results: Results) -> str:
    objective = results.task.objective.metric
    columns = [name for name in results.columns if name != objective]
    differences = any(row.difference is not None for row in results.rows)
    heads = ["baseline", objective]
    heads += [f"difference to {results.reference}", "p", "p, Holm"] if differences else []
    heads += [*columns, "seconds", "what it is"]
    rows = []
    for row in results.rows:
        cells = [f"`{row.program.name}`", mean_text(row.objective) if row.objective is not None else failure_text(results, row)]
        cells += difference_cells(row.difference) if differences else []
        cells += [mean_text(results.mean_of(row, name)) for name in columns]
        rows.append([*cells, f"{row.seconds:.3g}", _about(row)])
    return markdown_table(heads, rows)


def mean_text(mean: Mean | None) -> str:
    """Writes a mean with half its interval, both to the second digit of the latter; a dash for none."""
    if mean is None:
        return "–"
    half = 0.0 if mean.interval is None else mean.interval.high / 2 - mean.interval.low / 2
    if not _LEAST < half < _MOST:
        return figures(mean.value) + ("" if mean.interval is None else f" ± {half:.2g}")
    digits = max(0, 1 - math.floor(math.log10(half)))
    return f"{mean.value:.{digits}f} ± {half:.{digits}f}"


def difference_cells(difference: Difference | None) -> list[str]:
    """Writes a difference, its p-value and that after Holm's correction."""
    if difference is None:
        return ["–"] * 3
    return [mean_text(difference.mean), p_text(difference.p), p_text(difference.adjusted)]


def failure_text(results: Results, row: Row) -> str:
    """Says how a baseline failed, with how many seeds, and why."""
    why = f": {row.feedback}" if row.feedback else ""
    return f"{row.outcome} with {row.failed} of {counted(len(results.seeds), 'seed', 'seeds')}{why}"


def _about(row: Row) -> str:
    baseline = row.program.baseline
    unfit = f"not expected to score: {baseline.unfit}" if baseline.unfit else ""
    return "; ".join(text for text in (baseline.about, unfit) if text)


def _remarks(results: Results) -> list[str]:
    """Says what the numbers are, and what a reader must know of these in particular."""
    n = len(results.seeds)
    remarks = []
    if n > 1:
        remarks.append(
            f"Numbers are means over seeds ± half of Student's {LEVEL:.0%} interval ({n - 1} degrees of freedom), which takes the "
            "values to be normally distributed and is not corrected for the number of baselines."
        )
    else:
        remarks.append("One seed says nothing of the spread: there are no intervals.")
    tested = [row.difference for row in results.rows if row.difference is not None]
    if tested:
        lowest = smallest_p(n)
        remarks.append(
            f"Differences are baseline minus `{results.reference}`, seed by seed. p: {tested[0].method}, two-sided; p, Holm: "
            f"corrected over {counted(len(tested), 'baseline', 'baselines')}. The smallest p that "
            f"{counted(n, 'seed', 'seeds')} can give is {lowest:.2g} ({min(1.0, lowest * len(tested)):.2g} after the correction)."
        )
    if any(row.failed for row in results.rows):
        remarks.append("A baseline that failed with any seed has no mean: that of the other seeds would be one of what went well.")
    if any(row.outcome is Outcome.EVALUATOR_FAILED for row in results.rows):
        remarks.append("Where the evaluator failed, the next command measures again.")
    return remarks


def _circumstances(results: Results, command: str, commit: str) -> str:
    several = len(results.machines) > 1
    shares = {text: f"{counted(n, 'measurement', 'measurements')}: " if several else "" for text, n in results.machines.items()}
    lines = [f"- {share}{text}" for text, share in shares.items()]
    lines.append(f"- isolation: {', '.join(results.isolation) or 'none'}")
    if commit:
        lines.append(f"- the task's commit: `{commit}`")
    return "\n".join([*lines, f"- `{command}`"])
