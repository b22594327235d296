"""Sees to it that a run with paid models has a budget, and that people know what it buys."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import typer

from evolve.calibration import probes
from evolve.cli.output import dollars, stderr
from evolve.config import RunConfig
from evolve.edits import mutable_text
from evolve.errors import ConfigError
from evolve.llm.chunks import text_of
from evolve.llm.embedders import parse_embedder
from evolve.llm.estimate import ArmForecast, Estimate, estimate, warning
from evolve.llm.prices import FREE, Price, PriceTable, lookup, price_table, require_price, typical_tokens
from evolve.llm.specs import ModelSpec, is_model
from evolve.maker import judge_spec, model_specs, note_spec
from evolve.program import Task

#: Tokens of the words around programs in a prompt, and around the edit in an answer.
_WORDS = 600
#: Tokens of the words in a judge's prompt, and of its answer.
_JUDGE_WORDS, _VERDICT = 400, 60
#: What a run may spend when nobody says.
_DEFAULT_USD = 5.0
#: Hosts that are this machine: a model there is not paid by the token unless somebody says so.
_OWN_HOSTS = frozenset(("127.0.0.1", "localhost", "::1", "0.0.0.0"))


class _Priced(NamedTuple):
    """A model and its price."""

    spec: ModelSpec
    price: Price | None

    @property
    def paid(self) -> bool:
        # Without a price there is what one call may cost: `require_price` has seen to it.
        return self.price is None or self.price.most(1, 1) > 0


def with_budget(task: Task, config: RunConfig) -> RunConfig:
    """Gives a run with paid models a budget if it has none, and says what the budget buys.

    On a terminal it asks; elsewhere it takes 5 dollars and says so. Nothing is asked of runs whose models are free.

    Raises:
        ConfigError: If the run is to have a budget, and a model's price is not known.
    """
    config, models = _capped(config)
    if any(model.paid for model in models):
        _tell(_estimate(task, config, models), config)
    return config


def with_cap(config: RunConfig) -> RunConfig:
    """Gives a configuration with paid models a budget if it has none: on a terminal it asks, elsewhere it is 5 dollars.

    Raises:
        ConfigError: If there is to be a budget, and a model's price is not known.
    """
    return _capped(config)[0]


def forecast(task: Task, config: RunConfig) -> Estimate:
    """Estimates what a run with a budget costs, before anything is asked.

    Raises:
        ConfigError: If it has no budget, asks no model, or a model's price is not known.
    """
    if config.budget_usd is None:
        raise ConfigError("a forecast is of a run with a budget; set budget_usd")
    config, models = _capped(config)
    if not models:
        raise ConfigError(f"a forecast is of a run that asks a language model; the arms are {list(config.arms)}")
    return _estimate(task, config, models)


def _capped(config: RunConfig) -> tuple[RunConfig, list[_Priced]]:
    """Returns the configuration with a budget, and the models whose calls it pays; none where nothing is paid for."""
    others = (note_spec(config), _embedder(config), judge_spec(config))
    specs = [*model_specs(config), *(spec for spec in others if spec is not None)]
    table = price_table(config.prices) if specs else PriceTable({})
    facts = [lookup(spec, table) for spec in specs]
    if config.budget_usd is None and not any(_may_cost(spec, known.price) for spec, known in zip(specs, facts, strict=True)):
        return config, []
    # Before anybody is asked for a number that could not be kept to.
    models = [_Priced(spec, require_price(spec, known, table)) for spec, known in zip(specs, facts, strict=True)]
    paid = [model.spec for model in models if model.paid]
    if paid and config.budget_usd is None:
        config = dataclasses.replace(config, budget_usd=_ask(paid))
    return config, models


def _estimate(task: Task, config: RunConfig, models: Sequence[_Priced]) -> Estimate:
    """Estimates what a run costs if every arm is pulled alike and answers are about as long as the program."""
    source = typical_tokens("".join(task.files.values()))
    arms = [
        ArmForecast(
            spec.label, price, len(spec.kinds) * len(spec.settings.prompts), spec.settings.max_tokens, spec.settings.call_usd
        )
        for spec, price in models[: len(model_specs(config))]
    ]
    others = [ArmForecast(name, FREE) for name in config.arms if not is_model(name)]
    prompt = min(config.prompts.max_tokens, typical_tokens(task.background) + 3 * source + _WORDS)
    found = estimate(
        [*arms, *others], config.steps, prompt_tokens=prompt, answer_tokens=source + _WORDS, attempts=config.stages.max_attempts
    )
    return _with_judge(_with_embeddings(found, task, config, models), task, config, models)


def _embedder(config: RunConfig) -> ModelSpec | None:
    """Reads which model behind an API embeds programs; None where none does."""
    found = parse_embedder(config.novelty.embedder, config.models)
    return found if isinstance(found, ModelSpec) else None


def _with_embeddings(expected: Estimate, task: Task, config: RunConfig, models: Sequence[_Priced]) -> Estimate:
    """Adds what embeddings cost: of the edits that the limit is found by, of starting programs, and of a child each step."""
    embedder = _embedder(config)
    price = next((model.price for model in models if model.spec == embedder), None)
    if embedder is None or price is None:
        return expected
    finds_limit = config.novelty.calibrate and not config.novelty.compares
    tried = probes(task.files, config.seed).all if finds_limit else []
    once = sum(typical_tokens(text_of(mutable_text(files))) for files in tried)
    program = typical_tokens(text_of(mutable_text(task.files)))
    least, most = (once + program * (1 + config.steps * times) for times in (1, config.stages.max_attempts))
    usd = price.most(least, 0)
    return dataclasses.replace(
        expected,
        low=expected.low + usd,
        typical=expected.typical + usd,
        worst=expected.worst + price.most(most, 0),
        embeddings=usd,
    )


def _with_judge(expected: Estimate, task: Task, config: RunConfig, models: Sequence[_Priced]) -> Estimate:
    """Adds what a judge costs if every child is borderline, for how many are nobody knows; the low estimate has none."""
    spec = judge_spec(config)
    if spec is None:
        return expected
    price = next(model.price for model in models if model.spec == spec)
    program = typical_tokens("".join(mutable_text(task.files).values()))
    prompt = min(config.prompts.max_tokens, 2 * program + _JUDGE_WORDS)
    judge = ArmForecast(spec.label, price, max_tokens=spec.settings.max_tokens, call_usd=spec.settings.call_usd)
    each = estimate([judge], config.steps, prompt_tokens=prompt, answer_tokens=_VERDICT, attempts=config.stages.max_attempts)
    typical = expected.typical + each.typical
    return dataclasses.replace(expected, typical=typical, worst=expected.worst + each.worst, judge=each.typical)


def _tell(expected: Estimate, config: RunConfig) -> None:
    """Says what is expected, and warns of a budget that is too small to mean anything."""
    if config.budget_usd is None:
        return
    each, total = dollars(expected.typical_call), dollars(expected.typical)
    others = f" and embeddings for {dollars(expected.embeddings)} usd" if expected.embeddings else ""
    others += f" and up to {dollars(expected.judge)} usd for a judge" if expected.judge else ""
    stderr.print(
        f"expected: about {expected.calls:.0f} calls at {each} usd{others}, {total} usd in all (if answers are as long as the "
        f"program; reasoning costs more); no more than {dollars(config.budget_usd)} usd will be spent",
        style="dim",
        markup=False,
    )
    told = warning(expected, config.budget_usd)
    if told is not None:
        stderr.print(f"warning: {told}", style="yellow", markup=False)


def _may_cost(spec: ModelSpec, price: Price | None) -> bool:
    """Says whether a model is paid for, as far as is known: one on this machine is not, unless somebody says so."""
    if price is None:
        return urlsplit(spec.url).hostname not in _OWN_HOSTS
    return _Priced(spec, price).paid


def _ask(paid: Sequence[ModelSpec]) -> float:
    """Asks for a budget on a terminal; elsewhere takes the usual one and says so."""
    names = list(dict.fromkeys(spec.name for spec in paid))
    cost = f"{', '.join(names)} cost{'s' if len(names) == 1 else ''} money"
    if sys.stdin.isatty() and sys.stderr.isatty():
        asked = typer.prompt(f"{cost}. How many dollars may be spent?", default=f"{_DEFAULT_USD:g}", value_proc=_amount, err=True)
        return float(asked)
    stderr.print(f"{cost}: at most {dollars(_DEFAULT_USD)} usd will be spent; --budget-usd sets another limit", markup=False)
    return _DEFAULT_USD


def _amount(text: str) -> float:
    """Reads an amount of dollars that somebody typed.

    Raises:
        typer.BadParameter: If it is none; it is asked for again then.
    """
    try:
        amount = float(text.strip().removeprefix("$"))
    except ValueError:
        amount = math.nan
    if not 0 < amount < math.inf:
        raise typer.BadParameter(f"{text.strip()!r} is no amount of dollars above 0, such as 2.50")
    return amount
