"""Prints JSON, tables and numbers."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

#: Tables in a file or a pipe need not fold where a terminal would.
_PIPE_WIDTH = 140

#: What people asked for goes to standard output, everything about it to standard error.
stdout = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
stderr = Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:  # Any: JSON values
    """Prints one JSON value on standard output."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")
    sys.stdout.flush()


def number(value: float | None) -> str:
    """Writes a number with the digits that tell it from its neighbours, and no more; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.10g}"


def dollars(value: float | None) -> str:
    """Writes an amount of dollars: cents, or two digits of what is less; a dash for none."""
    if value is None:
        return "–"
    digits = 2 if value >= 0.1 or value == 0 else 1 - math.floor(math.log10(value))
    return f"{value:.{digits}f}"


def seconds(value: float | None) -> str:
    """Writes a duration as people read it."""
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """Builds a plain table.

    Args:
        columns: Headings.
        rows: Texts, as many as columns.
        right: Headings of the columns that hold numbers.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(text.replace("[", r"\[") for text in row))
    return made


def outcomes_text(outcomes: Mapping[str, int]) -> str:
    """Writes counts per outcome, the commonest first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items(), key=lambda item: (-item[1], item[0])))


def spread_text(interval: Mapping[str, Any] | None, objective: float | None) -> str:  # Any: JSON values
    """Writes how sure an objective is that was measured several times; nothing for one that was measured once.

    Args:
        interval: As in a run's summary.
        objective: That it belongs to.
    """
    if interval is None:
        return ""
    half = f"± {(interval['high'] - interval['low']) / 2:.2g} (95 %, mean of {interval['values']} measurements)"
    if interval["afresh"]:
        return f"; measured afresh {number(interval['mean'])} {half}"
    # Of scores that disagree the worse one counts.
    return f" {half}" if interval["mean"] == objective else f", the worse of two; in the mean {number(interval['mean'])} {half}"


def held_out_text(holdout: Mapping[str, Any]) -> str:  # Any: JSON values
    """Writes what a result scored on held-out data, or how it failed there."""
    return number(holdout["objective"]) if holdout["objective"] is not None else str(holdout["outcome"])


def arms_table(arms: Mapping[str, Mapping[str, Any]]) -> Table:  # Any: JSON values
    """Builds the table of arms of a run's summary."""
    rows = []
    for name, arm in sorted(arms.items()):
        reward = "–" if arm["reward"] is None else f"{arm['reward']:.3f}"
        rows.append([name, str(arm["pulls"]), str(arm["improvements"]), reward, f"{arm['usd']:.4f}"])
    return table(
        ["arm", "pulls", "improvements", "mean reward", "usd"], rows, right=["pulls", "improvements", "mean reward", "usd"]
    )


def isolation_text(shown: Mapping[str, Any]) -> str:  # Any: JSON values
    """Names a run's isolation level, and says so where its programs could forge their scores."""
    return f"{shown['isolation']}{', shared-process scores' if shown['shared_process'] else ''}"
