"""Commands about language models: `models list`, `models check`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from evolve.cli.options import JsonOption
from evolve.cli.output import number, print_json, seconds, stdout, table
from evolve.config import RunConfig
from evolve.errors import ConfigError
from evolve.llm.agent_command import AgentCommand
from evolve.llm.base import CallFailed, Message, ModelRequest, Role
from evolve.llm.clients import make_client
from evolve.llm.prices import lookup, shipped
from evolve.llm.specs import PROVIDERS, ModelSpec, parse_spec
from evolve.settings import build, read_toml

app = typer.Typer(no_args_is_help=True)

_QUESTION = "Answer with the one word: ready"
_ANSWER_TOKENS = 256


@app.command("list")
def list_models(json: JsonOption = False) -> None:
    """Lists the models whose prices are known, and whether a key for them is set."""
    # Other vendors' models are asked through litellm, which calls them by vendor and model.
    names = [name if name.partition("/")[0] in PROVIDERS else f"litellm/{name}" for name in shipped().facts]
    rows = [_row(parse_spec(name)) for name in names]
    if json:
        print_json(rows)
        return
    headings = ["model", "input", "cached", "output", "context", "key"]
    cells = [
        [
            row["model"],
            *(number(row[name]) for name in ("input_usd", "cached_usd", "output_usd")),
            number(row["context"]),
            f"{row['key_env']} {'set' if row['key_found'] else 'not set'}" if row["key_env"] else "–",
        ]
        for row in rows
    ]
    stdout.print(table(headings, cells, right=["input", "cached", "output", "context"]))
    stdout.print(
        "dollars per million tokens. Any other model works too: PROVIDER/MODEL[price=IN/OUT], or @URL for a server of your own",
        style="dim",
        markup=False,
    )


@app.command()
def check(
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="Such as openai/gpt-5-mini, or openai/NAME@http://127.0.0.1:8000/v1.")
    ],
    config: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="A run's settings: its models and agents.")] = None,
    json: JsonOption = False,
) -> None:
    """Asks a model one tiny question: whether key, name and address are right, and what that cost."""
    known = RunConfig() if config is None else build(RunConfig, read_toml(config), str(config))
    parsed = parse_spec(spec, known.models)
    found = {**_row(parsed), **asyncio.run(_ask(parsed, known.agents))}
    if json:
        print_json(found)
    else:
        _print(found)
    if not found["ok"]:
        raise typer.Exit(1)


async def _ask(spec: ModelSpec, agents: Mapping[str, AgentCommand]) -> dict[str, Any]:  # Any: JSON values
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
    price = lookup(spec).price
    usage = completion.usage
    cost = completion.cost_usd if completion.cost_usd is not None else price.cost(usage) if price and usage else None
    return {
        "ok": True,
        "answer": completion.text.strip()[:200],
        "finish": completion.finish.value,
        "served_by": completion.model,
        "tokens_in": usage.input if usage else None,
        "tokens_out": usage.output if usage else None,
        "usd": cost,
        "seconds": time.monotonic() - begun,
    }


def _row(spec: ModelSpec) -> dict[str, Any]:  # Any: JSON values
    facts = lookup(spec)
    price = facts.price
    return {
        "model": spec.name,
        "input_usd": price.input if price else None,
        "cached_usd": price.cached if price else None,
        "output_usd": price.output if price else None,
        "context": facts.context,
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
        stdout.print(f"{found['model']}: {found['error']}", style="bold red", markup=False)
        return
    stdout.print(f"{found['model']}: answers in {seconds(found['seconds'])}", style="bold", markup=False)
    stdout.print(f"  said     {found['answer']!r} ({found['finish']})", markup=False)
    stdout.print(f"  served   {found['served_by'] or '–'}", markup=False)
    stdout.print(f"  tokens   {number(found['tokens_in'])} + {number(found['tokens_out'])}", markup=False)
    stdout.print(
        f"  cost     {number(found['usd'])} usd ({found['price_from'] or 'price unknown: give price=IN/OUT'})", markup=False
    )
    stdout.print(f"  context  {number(found['context'])}", markup=False)


COMMANDS = {"models": app}
