"""Sees to it that a run with paid models has a budget, and that people know what it buys."""

from __future__ import annotations

import dataclasses
import sys
from urllib.parse import urlsplit

import typer

from evolve.arms import model_specs
from evolve.cli.output import stderr
from evolve.config import RunConfig
from evolve.llm.estimate import estimate, warning
from evolve.llm.prices import lookup
from evolve.llm.specs import ModelSpec
from evolve.program import Task

#: What a run may spend when nobody says.
_DEFAULT_USD = 5.0
#: Hosts that are this machine: a model there is not paid by the token unless somebody says so.
_OWN_HOSTS = frozenset(("127.0.0.1", "localhost", "::1", "0.0.0.0"))


def with_budget(task: Task, config: RunConfig) -> RunConfig:
    """Gives a run with paid models a budget if it has none, and says what the budget buys.

    On a terminal it asks; elsewhere it takes 5 dollars and says so. Nothing is asked of runs whose models are free.
    """
    specs = model_specs(config)
    paid = [spec for spec in specs if _paid(spec)]
    if paid and config.budget_usd is None:
        config = dataclasses.replace(config, budget_usd=_ask(paid))
    if specs and config.budget_usd is not None:
        expected = estimate(task, config, specs)
        stderr.print(expected.text, style="dim", markup=False)
        told = warning(expected, config.budget_usd)
        if told is not None:
            stderr.print(f"warning: {told}", style="yellow", markup=False)
    return config


def _paid(spec: ModelSpec) -> bool:
    price = lookup(spec).price
    if price is None:
        return urlsplit(spec.url).hostname not in _OWN_HOSTS
    return price.input > 0 or price.output > 0


def _ask(paid: list[ModelSpec]) -> float:
    names = ", ".join(dict.fromkeys(spec.name for spec in paid))
    if sys.stdin.isatty() and sys.stderr.isatty():
        return float(
            typer.prompt(f"{names} costs money. How many dollars may this run spend?", type=float, default=_DEFAULT_USD, err=True)
        )
    stderr.print(
        f"{names} costs money: this run may spend {_DEFAULT_USD:.2f} dollars; --budget-usd sets another limit", markup=False
    )
    return _DEFAULT_USD
