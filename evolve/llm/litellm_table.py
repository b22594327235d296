"""Reads the price table of an installed litellm, without importing litellm: that takes three seconds, this a twentieth of one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

from evolve.errors import ConfigError

FILE = "model_prices_and_context_window_backup.json"
_EMBEDDING = "embedding"
_MODES = ("chat", "completion", "responses", _EMBEDDING)
_MILLION = 1_000_000
#: A table of prices by length of the prompt is read at the tier that takes prompts of this many tokens.
_LONG_PROMPT = 128_000


class Row(NamedTuple):
    """What the table says of one model.

    Attributes:
        input, cached, output: Dollars per million tokens, for prompts of up to ``context``; None where the table is silent.
        written: The same of tokens written to a prompt cache, where they cost more than others; None where they do not.
        context: Tokens of a prompt that the model takes at this price: longer ones cost more at some providers.
        max_output: Tokens of an answer.
        source: Where litellm has it from; empty where it does not say.
        embeds: Whether it answers with embeddings, which cost nothing beside what is asked.
    """

    input: float | None
    cached: float | None
    written: float | None
    output: float | None
    context: int | None
    max_output: int | None
    source: str
    embeds: bool = False


class LitellmTable:
    """The table, by model as litellm calls it."""

    def __init__(self, path: Path, version: str) -> None:
        """Reads the file.

        Raises:
            ConfigError: If it is not JSON.
        """
        try:
            self._entries: Mapping[str, object] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"the price table of litellm, {path}, cannot be read ({error}); install litellm anew") from error
        self.version = version

    def row(self, name: str) -> Row | None:
        """Reads one model; None when it is not there or answers neither text nor embeddings."""
        entry = self._entries.get(name) or self._of_provider(name)
        if not isinstance(entry, dict) or entry.get("mode") not in _MODES:
            return None
        prices, limit = _prices(entry)
        context = min((int(tokens) for tokens in (limit, _number(entry.get("max_input_tokens"))) if tokens), default=None)
        output = _number(entry.get("max_output_tokens"))
        source = entry.get("source")
        embeds = entry.get("mode") == _EMBEDDING
        asked, written = _per_million(prices, "input_cost_per_token"), _per_million(prices, "cache_creation_input_token_cost")
        return Row(
            asked,
            _per_million(prices, "cache_read_input_token_cost"),
            # Zero where a provider asks nothing on top: its tokens are paid like others all the same.
            written if written is not None and asked is not None and written > asked else None,
            0.0
            if embeds
            else _dearer(_per_million(prices, "output_cost_per_token"), _per_million(prices, "output_cost_per_reasoning_token")),
            context,
            int(output) if output else None,
            source if isinstance(source, str) else "",
            embeds,
        )

    def _of_provider(self, name: str) -> object:
        """Finds ``PROVIDER/MODEL`` by the model alone, as the table calls those of providers that were there first."""
        provider, _, model = name.partition("/")
        entry = self._entries.get(model)
        return entry if isinstance(entry, dict) and entry.get("litellm_provider") == provider else None


def installed() -> LitellmTable | None:
    """Finds the table of the litellm that is installed beside us; None without one."""
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / FILE
        if path.is_file():
            return LitellmTable(path, _version())
    return None


def _version() -> str:
    try:
        return importlib.metadata.version("litellm")
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _prices(entry: Mapping[str, object]) -> tuple[Mapping[str, object], float | None]:
    """Finds the fields that hold prices, and the longest prompt that they are for."""
    tiers = entry.get("tiered_pricing")
    for tier in tiers if isinstance(tiers, list) else ():
        match tier:
            case {"range": [_, end]} if (_number(end) or 0) >= _LONG_PROMPT:
                return cast("Mapping[str, object]", tier), _number(end)
    return entry, min(_thresholds(entry), default=None)


def _thresholds(entry: Mapping[str, object]) -> Iterator[float]:
    """Reads tokens out of names such as ``input_cost_per_token_above_200k_tokens``."""
    for key in entry:
        found = key.removeprefix("input_cost_per_token_above_").removesuffix("k_tokens")
        if found.isdigit():
            yield int(found) * 1000


def _per_million(prices: Mapping[str, object], key: str) -> float | None:
    """Turns dollars a token into dollars a million, without the digits that the multiplication invents."""
    price = _number(prices.get(key))
    return None if price is None else float(f"{price * _MILLION:.9g}")


def _dearer(output: float | None, reasoning: float | None) -> float | None:
    """Takes the price of thought for all output where it is the higher: how much of an answer is thought is not known before."""
    return output if output is None or reasoning is None else max(output, reasoning)


def _number(value: object) -> float | None:
    """Reads a number that is one, and not negative; the table holds texts in places."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None
