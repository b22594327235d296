"""What a token costs, how many a model takes, and how many tokens a text may be.

`lookup` asks, in this order: the settings of the SPEC (``price=``, ``context=``), the table shipped beside this module
(``prices.toml``, written by ``docs/make_prices.py``), and the table of litellm where that is installed.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from evolve.errors import ConfigError, nearest_hint
from evolve.llm import litellm_table
from evolve.llm.base import ModelRequest, Usage
from evolve.llm.specs import ModelSpec
from evolve.settings import build

SHIPPED = Path(__file__).with_name("prices.toml")

_NUMBER = re.compile(r"\d+(\.\d+)?")
#: Ends of names that tell snapshots of one model apart: -2025-08-07, -20250929, @20250929, -latest.
_SNAPSHOT = re.compile(r"([-@]\d{4}-\d{2}-\d{2}|[-@]\d{8}|-latest)$")
#: What gateways call the sections of the table.
_ALIASES = {
    "google": "gemini",
    "mistralai": "mistral",
    "x-ai": "xai",
    "moonshotai": "moonshot",
    "z-ai": "zai",
    "qwen": "dashscope",
}
#: Vendors whose models OpenRouter passes on at the vendor's price. Models with open weights are hosted by many there, each at
#: a price of its own.
_PASSED_ON = ("openai", "anthropic", "gemini", "xai")
_OPENROUTER = "openrouter"
#: Sections to look for a bare name in.
_VENDORS = ("openai", "anthropic", "gemini", "deepseek", "mistral", "xai", "dashscope", "moonshot", "zai", "minimax")
#: Bytes of a token. Measured over this repository's Python and Markdown with the tokenizers cl100k_base, DeepSeek's and
#: Anthropic's of 2023: 3.5 to 4.1, so the estimate errs towards more tokens.
_BYTES_PER_TOKEN = 3.6
#: Tokens that frame a message (role, separators) and a whole prompt in the chat templates in use: 3 to 10 each.
_TOKENS_PER_MESSAGE = 16
_TOKENS_PER_PROMPT = 64


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens.

    Attributes:
        input: Of tokens asked.
        cached: Of tokens asked that were read from a prompt cache.
        output: Of tokens answered, reasoning included.
    """

    input: float
    cached: float
    output: float

    def cost(self, usage: Usage) -> float:
        """Returns the dollars that a call cost."""
        cached = min(usage.cached, usage.input)
        return ((usage.input - cached) * self.input + cached * self.cached + usage.output * self.output) / 1_000_000

    def most(self, asked: int, answered: int) -> float:
        """Returns the most dollars that tokens can cost, whatever of them is cached."""
        return (asked * max(self.input, self.cached) + answered * self.output) / 1_000_000


FREE = Price(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model.

    Attributes:
        price: None when it is not known.
        context: Tokens of prompt and answer that it takes at this price; None when it is not known. Some take more and charge
            more for it.
        max_output: Tokens of one answer; None when it is not known.
        source: Who says so; empty when nothing is known.
    """

    price: Price | None = None
    context: int | None = None
    max_output: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One model of a table, as it is written there."""

    price: str
    context: int | None = None
    max_output: int | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for name, tokens in (("context", self.context), ("max_output", self.max_output)):
            if tokens is not None and tokens < 1:
                raise ValueError(f"{name} must be >= 1, got {tokens}")


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Facts by model.

    Attributes:
        facts: By ``VENDOR/MODEL``, in lower case.
        source: Where all of it comes from, and of which day.
    """

    facts: Mapping[str, ModelFacts]
    source: str = ""

    @classmethod
    def read(cls, path: Path) -> PriceTable:
        """Reads a table: ``source`` and ``date``, then a section per vendor with a line per model.

        Raises:
            ConfigError: If the file is not TOML, a key is unknown, or a value is refused; the message names file and key.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"price table {path}: cannot be read ({error})") from error
        heading = ", ".join(str(content.pop(key)) for key in ("source", "date") if key in content)
        return cls({name: facts for vendor, models in content.items() for name, facts in _section(path, vendor, models)}, heading)

    def find(self, names: Iterable[str]) -> ModelFacts | None:
        """Returns the first of several names that is known, or known without what tells snapshots apart."""
        for name in names:
            lowered = name.lower()
            for form in (lowered, _SNAPSHOT.sub("", lowered), f"{lowered}-latest"):
                if form in self.facts:
                    return self.facts[form]
        return None


def _section(path: Path, vendor: str, models: object) -> Iterator[tuple[str, ModelFacts]]:
    """Reads the models of one vendor."""
    if not isinstance(models, Mapping):
        raise ConfigError(
            f'price table {path}: key {vendor!r} is neither "source", "date" nor a section of models such as [openai]'
        )
    for model, written in models.items():
        where = f"price table {path}: [{vendor}] {model!r}"
        if not isinstance(written, Mapping):
            raise ConfigError(f'{where} must be a table such as {{ price = "0.25/2", context = 272000 }}, got {written!r}')
        entry = build(_Entry, written, where)
        yield (
            f"{vendor}/{model}".lower(),
            ModelFacts(parse_price(entry.price, where), entry.context, entry.max_output, entry.source),
        )


def shipped() -> PriceTable:
    """Reads the table that comes with the package."""
    return PriceTable.read(SHIPPED)


def parse_price(text: str, where: str = "price") -> Price:
    """Reads ``"INPUT/OUTPUT"``, ``"INPUT/CACHED/OUTPUT"`` or ``"0"``.

    Args:
        text: Dollars per million tokens. Without CACHED, cached tokens cost as much as others.
        where: How messages call the setting.

    Raises:
        ConfigError: If it is none of these, or a number is negative or none.
    """
    parts = [part.strip() for part in text.split("/")]
    if not all(_NUMBER.fullmatch(part) for part in parts) or (len(parts) == 1 and float(parts[0]) != 0) or len(parts) > 3:
        raise ConfigError(
            f"{where}: {text!r} is not a price; write dollars per million tokens as INPUT/OUTPUT or INPUT/CACHED/OUTPUT, "
            "such as 0.25/2 or 0.25/0.025/2, or 0 for a server of your own"
        )
    numbers = [float(part) for part in parts]
    return Price(numbers[0], numbers[1] if len(numbers) == 3 else numbers[0], numbers[-1])


def lookup(spec: ModelSpec, table: PriceTable | None = None) -> ModelFacts:
    """Finds out what is known of a model; the settings of its SPEC win.

    Args:
        spec: Which model.
        table: The table to ask before litellm's; None reads the one that comes with the package.

    Raises:
        ConfigError: If the SPEC's price is malformed, or a table is.
    """
    found = (shipped() if table is None else table).find(_names(spec)) or _from_litellm(spec) or ModelFacts()
    settings = spec.settings
    if settings.price is not None:
        price = parse_price(settings.price, f"model {spec.name}: price")
        found = dataclasses.replace(found, price=price, source="price= of the SPEC")
    return found if settings.context is None else dataclasses.replace(found, context=settings.context)


def require_price(spec: ModelSpec, table: PriceTable | None = None) -> Price | None:
    """Finds the price of a model that a run with a budget of dollars is to use.

    Args:
        spec: Which model. A coding agent makes as many calls as it likes, so that the price of a token says nothing of it.
        table: As for `lookup`.

    Returns:
        The price; None where it is not known, but the most that one call may cost is.

    Raises:
        ConfigError: If the most that one call may cost is not known; the message says how to write it, and the nearest model
            that is known.
    """
    known = shipped() if table is None else table
    price = lookup(spec, known).price
    if spec.settings.call_usd is not None:
        return price
    if spec.provider == "agent":
        if price == FREE:
            return price
        raise ConfigError(
            f"{spec.name} makes as many calls as it likes, so a budget of dollars cannot be kept; write the most that it may cost "
            f"each time it is asked, {spec.name}[call_usd=DOLLARS], or {spec.name}[price=0] if a subscription pays"
        )
    if price is not None:
        return price
    names = sorted({name.partition("/")[2] for name in known.facts})
    raise ConfigError(
        f"the price of {spec.name} is not known, so a budget of dollars cannot be kept; write it in dollars per million tokens: "
        f"{spec.provider}/{spec.model}[price=INPUT/OUTPUT], or [price=0] for a server of your own; "
        f"{nearest_hint(spec.model.rpartition('/')[2].lower(), names)}"
    )


def _names(spec: ModelSpec) -> Iterator[str]:
    """Lists what a table may call a model, ``VENDOR/MODEL``, the surest first."""
    name = spec.model.lower()
    vendor, _, model = name.removeprefix(f"{_OPENROUTER}/").rpartition("/")
    if _through_openrouter(spec):
        if _ALIASES.get(vendor, vendor) in _PASSED_ON:
            yield f"{_ALIASES.get(vendor, vendor)}/{model}"
    elif vendor:
        yield name
        yield f"{_ALIASES.get(vendor, vendor)}/{model}"
    else:
        # A bare name says nothing of its vendor: at a URL, the provider is only the wire format.
        yield from (f"{other}/{model}" for other in (spec.provider, *_VENDORS))


def _through_openrouter(spec: ModelSpec) -> bool:
    return spec.model.lower().startswith(f"{_OPENROUTER}/") or f".{urlsplit(spec.url).hostname}".endswith(".openrouter.ai")


def _from_litellm(spec: ModelSpec) -> ModelFacts | None:
    """Asks the table of litellm, by the exact name that litellm has."""
    table = litellm_table.installed()
    if table is None:
        return None
    prefix = f"{_OPENROUTER}/" if _through_openrouter(spec) else ""
    row = table.row(prefix + spec.model.removeprefix(prefix))
    if row is None:
        return None
    price = None
    if row.input is not None and row.output is not None:
        price = Price(row.input, row.input if row.cached is None else row.cached, row.output)
    return ModelFacts(price, row.context, row.max_output, f"litellm {table.version}")


def upper_bound_tokens(request: ModelRequest) -> int:
    """Counts the most tokens that a prompt can be, whatever the tokenizer.

    A tokenizer that falls back to bytes makes at most one token of each byte; the rest is for what frames the messages.
    """
    text = sum(_size_bytes(message.text) for message in request.messages)
    return text + _TOKENS_PER_MESSAGE * len(request.messages) + _TOKENS_PER_PROMPT


def typical_tokens(text: str) -> int:
    """Estimates the tokens of a text, for pacing and forecasts: never for what must hold."""
    return round(_size_bytes(text) / _BYTES_PER_TOKEN)


def _size_bytes(text: str) -> int:
    # A model's JSON may hold half of a surrogate pair, which is no UTF-8.
    return len(text.encode(errors="surrogatepass"))
