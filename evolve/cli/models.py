"""Commands about language models: `models list`, `models check`."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import typer

from evolve.cli.options import JsonOption
from evolve.cli.output import dollars, number, print_json, seconds, stdout, table
from evolve.errors import ConfigError
from evolve.llm.agent_command import AgentCommand
from evolve.llm.base import CallFailed, Completion, Finish, Message, ModelRequest, Role
from evolve.llm.clients import make_client
from evolve.llm.prices import VARIABLE, ModelFacts, Price, lookup, price_table
from evolve.llm.specs import PROVIDERS, ModelSpec, ModelTable, parse_spec
from evolve.settings import build

app = typer.Typer(no_args_is_help=True)

_QUESTION = "Answer with the one word: ready"
_ANSWER_TOKENS = 256
_PRICES = ("input", "cached", "written", "output")

PricesOption = Annotated[
    str | None,
    typer.Option("--prices", envvar=VARIABLE, metavar="FILE.toml", help="A price table of your own; it wins (docs/models.md)."),
]


@app.command("list")
def list_models(prices: PricesOption = None, json: JsonOption = False) -> None:
    """Lists the models whose prices are known, your own table's first, and whether a key for them is set."""
    known = price_table(prices)
    specs = [parse_spec(_asked_as(name)) for name in known.names]
    rows = [_row(spec, lookup(spec, known)) for spec in specs]
    if json:
        print_json(rows)
        return
    headings = ["model", *_PRICES, "context"]
    cells = [
        [
            f"{row['model']} (embeddings)" if row["embeds"] else row["model"],
            *(number(row[f"{name}_usd"]) for name in _PRICES),
            number(row["context"]),
        ]
        for row in rows
    ]
    stdout.print(table(headings, cells, right=headings[1:]))
    for line in _notes(specs, len(known.facts) if known.below is not None else 0, prices):
        stdout.print(line, style="dim", markup=False)


@app.command()
def check(
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="Such as openai/gpt-5-mini, or openai/NAME@http://127.0.0.1:8000/v1.")
    ],
    config: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="A run's settings: its models and agents.")] = None,
    prices: PricesOption = None,
    json: JsonOption = False,
) -> None:
    """Asks a model one tiny question: whether key, name and address are right, and what that cost."""
    known = _Known() if config is None else _known(config)
    parsed = parse_spec(spec, known.models)
    facts = lookup(parsed, price_table(prices or known.prices))
    found = {**_row(parsed, facts), **asyncio.run(_ask(parsed, facts.price, known.agents))}
    if json:
        print_json(found)
    else:
        _print(found)
    if not found["ok"]:
        raise typer.Exit(1)


class _Known(NamedTuple):
    """What a configuration says of models."""

    models: Sequence[ModelTable] = ()
    agents: Mapping[str, AgentCommand] = MappingProxyType({})
    prices: str | None = None


def _known(path: Path) -> _Known:
    from evolve.config import RunConfig, read_settings  # brings numpy and a database along, 0.4 s that `models list` does without

    config = build(RunConfig, read_settings(path), str(path))
    return _Known(config.models, config.agents, config.prices)


def _asked_as(name: str) -> str:
    """Turns a table's name into a SPEC: other vendors' models are asked through litellm, which calls them by vendor and model."""
    return name if name.partition("/")[0] in PROVIDERS else f"litellm/{name}"


def _notes(specs: Sequence[ModelSpec], n_own: int, path: str | None) -> list[str]:
    """Says what the table does not: units, whose the prices are, which keys are there, and what else can be asked."""
    variables = {spec.key_env: _has_key(spec) for spec in specs if spec.key_env is not None}
    keys = ", ".join(f"{variable} is {'set' if found else 'not set'}" for variable, found in variables.items())
    return [
        "Dollars per million tokens: asked, read from a prompt cache, written to one, answered.",
        *([f"The first {n_own} from {path}." if n_own > 1 else f"The first from {path}."] if n_own else []),
        f"Keys: {keys}; litellm reads those of its providers from their own variables.",
        "Any other model works too: PROVIDER/MODEL[price=INPUT/OUTPUT], or @URL for a server of your own.",
    ]


async def _ask(spec: ModelSpec, price: Price | None, agents: Mapping[str, AgentCommand]) -> dict[str, Any]:  # Any: JSON values
    settings = spec.settings
    request = ModelRequest(
        (Message(Role.USER, _QUESTION),),
        max_tokens=min(_ANSWER_TOKENS, settings.max_tokens),
        temperature=settings.temperature,
        effort=settings.effort,
    )
    client = make_client(spec, os.environ, agents=agents)
    begun = time.monotonic()
    try:
        completion = await client.complete(request)
    except CallFailed as failed:
        return {"ok": False, "error": str(failed), "failure": failed.failure.value, "seconds": time.monotonic() - begun}
    finally:
        await client.close()
    usage = completion.counted
    return {
        "ok": True,
        "answer": completion.text.strip()[:200],
        "finish": completion.finish.value,
        "served_by": completion.model,
        "tokens_in": usage.input if usage else None,
        "tokens_out": usage.output if usage else None,
        "usd": _cost(completion, price),
        "seconds": time.monotonic() - begun,
    }


def _cost(completion: Completion, price: Price | None) -> float | None:
    """Returns what an answer cost, as reported or by its tokens; None where neither is known."""
    reported = completion.cost_usd
    if reported is not None and 0 <= reported < math.inf:
        return reported
    return None if price is None or completion.counted is None else price.cost(completion.counted)


def _row(spec: ModelSpec, facts: ModelFacts) -> dict[str, Any]:  # Any: JSON values
    price = facts.price
    written = price and (price.input if price.written is None else price.written)
    return {
        "model": spec.name,
        "input_usd": price and price.input,
        "cached_usd": price and price.cached,
        "written_usd": written,
        "output_usd": price and price.output,
        "context": facts.context,
        "embeds": facts.embeds,
        "price_from": facts.source,
        "key_env": spec.key_env,
        "key_found": _has_key(spec),
    }


def _has_key(spec: ModelSpec) -> bool:
    try:
        return spec.key() is not None
    except ConfigError:
        return False


def _print(found: dict[str, Any]) -> None:  # Any: JSON values
    if not found["ok"]:
        stdout.print(found["error"], style="bold red", markup=False)
        return
    stdout.print(f"{found['model']}: answers in {seconds(found['seconds'])}", style="bold", markup=False)
    said = f"{found['answer']!r} ({found['finish']})"
    if found["finish"] == Finish.LENGTH:
        said += f": cut off at the {_ANSWER_TOKENS} tokens of this question, thoughts included"
    priced = found["input_usd"] is not None
    rows = {
        "said": said,
        "served by": found["served_by"] or "–",
        "key": f"from {found['key_env']}" if found["key_env"] else "none is sent",
        "tokens": f"{number(found['tokens_in'])} asked, {number(found['tokens_out'])} answered",
        "cost": f"{dollars(found['usd'])} usd",
        "price": _price_text(found) if priced else "not known: write [price=INPUT/OUTPUT] before a run with a budget",
        "context": f"{number(found['context'])} tokens" if found["context"] else "not known: write [context=TOKENS] if it is small",
    }
    for name, text in rows.items():
        stdout.print(f"  {name:<10}{text}", markup=False)


def _price_text(found: dict[str, Any]) -> str:  # Any: JSON values
    return "/".join(number(found[f"{name}_usd"]) for name in _PRICES) + f" usd per million tokens ({found['price_from']})"


COMMANDS = {"models": app}
