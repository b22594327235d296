"""Sees to it that a run with paid models has a budget, and that people know what it buys."""

from __future__ import annotations

import dataclasses
import sys
from urllib.parse import urlsplit

import typer

from evolve.arms import model_specs
from evolve.cli.output import stderr
from evolve.config import RunConfig
from evolve.llm.estimate import ArmForecast, Estimate, estimate, warning
from evolve.llm.prices import FREE, lookup, typical_tokens
from evolve.llm.specs import ModelSpec, is_model
from evolve.program import Task

#: Tokens of the words around programs in a prompt, and around the edit in an answer.
_WORDS = 600
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
        expected = _estimate(task, config, specs)
        stderr.print(_told(expected, config), style="dim", markup=False)
        told = warning(expected, config.budget_usd)
        if told is not None:
            stderr.print(f"warning: {told}", style="yellow", markup=False)
    return config


def _estimate(task: Task, config: RunConfig, specs: list[ModelSpec]) -> Estimate:
    """Estimates what a run costs if every arm is pulled alike and answers are about as long as the program."""
    source = typical_tokens("".join(task.files.values()))
    arms = [
        ArmForecast(spec.label, lookup(spec).price, len(spec.kinds), spec.settings.max_tokens, spec.settings.call_usd)
        for spec in specs
    ]
    others = [ArmForecast(name, FREE) for name in config.arms if not is_model(name)]
    prompt = min(config.prompts.max_tokens, typical_tokens(task.background) + 3 * source + _WORDS)
    return estimate(
        [*arms, *others], config.steps, prompt_tokens=prompt, answer_tokens=source + _WORDS, attempts=config.stages.max_attempts
    )


def _told(expected: Estimate, config: RunConfig) -> str:
    return (
        f"expected: about {expected.calls:.0f} calls at {expected.typical_call:.4f} usd, {expected.typical:.2f} usd in all "
        f"(if answers are as long as the program; reasoning costs more); at most {config.budget_usd:.2f} usd will be spent"
    )


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
