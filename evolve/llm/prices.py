"""What a token costs, how many a model takes, and how many tokens a text may be.

`lookup` asks, in this order: the settings of the SPEC (``price=``, ``context=``), a table of the user's own (`price_table`), the
table shipped beside this module (``prices.toml``, written by ``docs/make_prices.py``), and litellm's where that is installed.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from evolve.errors import ConfigError
from evolve.llm import litellm_table
from evolve.llm.base import ModelRequest, Usage
from evolve.llm.specs import ModelSpec
from evolve.settings import build

SHIPPED = Path(__file__).with_name("prices.toml")
#: Environment variable that holds the path of a table of the user's own.
VARIABLE = "EVOLVE_PRICES"

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
_VENDORS = ("openai", "anthropic", "gemini", "deepseek", "mistral", "xai", "dashscope", "moonshot", "zai", "minimax", "voyage")
#: How alike two names must be, from 0 to 1, for one to be a mistyped other; openai_like, which litellm knows, is none of openai.
_A_TYPO = 0.85
#: Bytes of ten tokens. Measured over this repository's Python and Markdown with the tokenizers cl100k_base, DeepSeek's and
#: Anthropic's of 2023: 35 to 41, so the estimate errs towards more tokens.
_BYTES_PER_TEN_TOKENS = 36
#: Tokens that frame a message (role, separators) and a whole prompt in the chat templates in use: 3 to 10 each.
_TOKENS_PER_MESSAGE = 16
_TOKENS_PER_PROMPT = 64
#: What Anthropic asks for a token written to its cache for five minutes, against the price of others. Its client marks prompts
#: for the cache, so this is paid whether or not a price that somebody wrote down says so.
_WRITTEN_AT_ANTHROPIC = 1.25


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens.

    Attributes:
        input: Of tokens asked.
        cached: Of tokens asked that were read from a prompt cache.
        output: Of tokens answered, reasoning included.
        written: Of tokens asked that were written to a prompt cache; None where they cost what others do.
    """

    input: float
    cached: float
    output: float
    written: float | None = None

    def cost(self, usage: Usage) -> float:
        """Returns the dollars that a call cost."""
        cached = min(usage.cached, usage.input)
        written = min(usage.written, usage.input - cached)
        asked = (usage.input - cached - written) * self.input + cached * self.cached + written * self._written
        return (asked + usage.output * self.output) / 1_000_000

    def most(self, asked: int, answered: int) -> float:
        """Returns the most dollars that tokens can cost, whatever of them a cache gives or takes."""
        return (asked * max(self.input, self.cached, self._written) + answered * self.output) / 1_000_000

    @property
    def _written(self) -> float:
        return self.input if self.written is None else self.written


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
        embeds: Whether it makes embeddings and answers no text.
    """

    price: Price | None = None
    context: int | None = None
    max_output: int | None = None
    source: str = ""
    embeds: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    """One model of a table, as it is written there."""

    price: str
    context: int | None = None
    max_output: int | None = None
    source: str = ""
    embeds: bool = False

    def __post_init__(self) -> None:
        for name, tokens in (("context", self.context), ("max_output", self.max_output)):
            if tokens is not None and tokens < 1:
                raise ValueError(f"{name} must be >= 1, got {tokens}")


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Facts by model.

    Attributes:
        facts: By ``VENDOR/MODEL``, in lower case.
        below: Is asked for what is not in here.
    """

    facts: Mapping[str, ModelFacts]
    below: PriceTable | None = None

    @classmethod
    def read(cls, path: Path, below: PriceTable | None = None) -> PriceTable:
        """Reads a table: ``source`` and ``date``, then a section per vendor with a line per model.

        Args:
            path: Of the file.
            below: Is asked for what is not in it.

        Raises:
            ConfigError: If the file is not TOML, a key is unknown, or a value is refused; the message names file and key.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"price table {path}: cannot be read ({error})") from error
        _check_vendors(path, content, below)
        source = ", ".join(str(content.pop(key)) for key in ("source", "date") if key in content) or str(path)
        sections = [fact for vendor, models in content.items() for fact in _section(path, vendor, models, source)]
        return cls(dict(sections), below)

    @property
    def names(self) -> list[str]:
        """All models, ``VENDOR/MODEL``; its own first."""
        return list(dict.fromkeys([*self.facts, *(self.below.names if self.below is not None else ())]))

    def find(self, names: Sequence[str]) -> ModelFacts | None:
        """Returns the first of several names that is known, or known without what tells snapshots apart.

        What its own entry leaves out is taken from the table below.
        """
        forms = [form for name in names for form in (name, _SNAPSHOT.sub("", name), f"{name}-latest")]
        own = next((self.facts[form] for form in map(str.lower, forms) if form in self.facts), None)
        under = None if self.below is None else self.below.find(names)
        if own is None or under is None:
            return own or under
        return dataclasses.replace(own, context=own.context or under.context, max_output=own.max_output or under.max_output)


def _check_vendors(path: Path, content: Mapping[str, object], below: PriceTable | None) -> None:
    """Refuses a section that is nearly called like one below: nothing would ever be looked up there, and nobody would notice."""
    from difflib import get_close_matches  # 12 ms to import, and not needed without a table of the user's own

    known = {name.partition("/")[0] for name in (below.names if below is not None else ())}
    for vendor in content.keys() - known - _ALIASES.keys():
        if near := get_close_matches(vendor.lower(), known, n=1, cutoff=_A_TYPO):
            raise ConfigError(f"price table {path}: unknown vendor [{vendor}]; did you mean [{near[0]}]?")


def _section(path: Path, vendor: str, models: object, source: str) -> Iterator[tuple[str, ModelFacts]]:
    """Reads the models of one vendor."""
    if not isinstance(models, Mapping):
        raise ConfigError(
            f'price table {path}: key {vendor!r} is neither "source", "date" nor a section of models such as [openai]'
        )
    for model, written in models.items():
        where = f"price table {path}: [{vendor}] {model!r}"
        if not isinstance(written, Mapping):
            raise ConfigError(f'{where} must be a table such as {{ price = "0.25/2", context = 272000 }}, got {written!r}')
        if any(isinstance(value, Mapping) for value in written.values()):
            raise ConfigError(f'{where} holds tables: a name with a dot must stand in quotes, such as "gpt-4.1" = {{ ... }}')
        entry = build(_Entry, written, where)
        price = parse_price(entry.price, where)
        yield f"{vendor}/{model}".lower(), ModelFacts(price, entry.context, entry.max_output, entry.source or source, entry.embeds)


@functools.cache
def shipped() -> PriceTable:
    """Reads the table that comes with the package, once: it never changes, and to read it takes 10 ms."""
    return PriceTable.read(SHIPPED)


def price_table(path: str | None = None, environment: Mapping[str, str] = os.environ) -> PriceTable:
    """Reads the table that comes with the package, and a table of the user's own that wins over it.

    Args:
        path: Of the user's own; None takes the path that the environment variable ``EVOLVE_PRICES`` holds, if any.
        environment: Where that is read.

    Raises:
        ConfigError: If the user's cannot be read, or is refused; the message names file and key.
    """
    own = path or environment.get(VARIABLE, "").strip()
    return PriceTable.read(Path(own).expanduser(), shipped()) if own else shipped()


def parse_price(text: str, where: str = "price") -> Price:
    """Reads ``"INPUT/OUTPUT"``, ``"INPUT/CACHED/OUTPUT"``, ``"INPUT/CACHED/WRITTEN/OUTPUT"`` or ``"0"``.

    Args:
        text: Dollars per million tokens. Without CACHED or WRITTEN, such tokens cost as much as others.
        where: How messages call the setting.

    Raises:
        ConfigError: If it is none of these, or a number is negative or none.
    """
    parts = [part.strip() for part in text.split("/")]
    if not all(_NUMBER.fullmatch(part) for part in parts) or (len(parts) == 1 and float(parts[0]) != 0) or len(parts) > 4:
        raise ConfigError(
            f"{where}: {text!r} is not a price; write dollars per million tokens as INPUT/OUTPUT, INPUT/CACHED/OUTPUT or "
            "INPUT/CACHED/WRITTEN/OUTPUT, such as 0.25/2 or 0.25/0.025/2, or 0 for a server of your own"
        )
    numbers = [float(part) for part in parts]
    cached = numbers[1] if len(numbers) > 2 else numbers[0]
    return Price(numbers[0], cached, numbers[-1], numbers[2] if len(numbers) == 4 else None)


def lookup(spec: ModelSpec, table: PriceTable) -> ModelFacts:
    """Finds out what is known of a model; the settings of its SPEC win.

    Args:
        spec: Which model.
        table: The table to ask before litellm's (`price_table`).

    Raises:
        ConfigError: If the SPEC's price is malformed, or litellm's table is.
    """
    found = table.find(list(_names(spec))) or _from_litellm(spec) or ModelFacts()
    settings = spec.settings
    if settings.price is not None:
        price = parse_price(settings.price, f"model {spec.name}: price")
        found = dataclasses.replace(found, price=price, source="price= of the SPEC")
    if spec.provider == "anthropic" and found.price is not None:
        found = dataclasses.replace(found, price=_with_anthropics_cache(found.price))
    return found if settings.context is None else dataclasses.replace(found, context=settings.context)


def _with_anthropics_cache(price: Price) -> Price:
    if price.written is not None or price.input == 0:
        return price
    return dataclasses.replace(price, written=_WRITTEN_AT_ANTHROPIC * price.input)


def require_price(spec: ModelSpec, facts: ModelFacts, table: PriceTable) -> Price | None:
    """Returns the price of a model that a run with a budget of dollars is to use.

    Args:
        spec: Which model. A coding agent makes as many calls as it likes, so that the price of a token says nothing of it.
        facts: What is known of it (`lookup`).
        table: Which other models are known.

    Returns:
        The price; None where it is not known, but the most that one call may cost is.

    Raises:
        ConfigError: If the most that one call may cost is not known; the message says how to write it, and the nearest model
            whose price is.
    """
    if spec.settings.call_usd is not None:
        return facts.price
    if spec.provider == "agent":
        if facts.price == FREE:
            return facts.price
        raise ConfigError(
            f"{spec.name} makes as many calls as it likes, so a budget of dollars cannot be kept; write the most that it may cost "
            f"each time it is asked, {spec.name}[call_usd=DOLLARS], or {spec.name}[price=0] if a subscription pays"
        )
    if facts.price is not None:
        return facts.price
    from difflib import get_close_matches  # 12 ms to import, and only needed on the way out

    close = get_close_matches(spec.model.rpartition("/")[2].lower(), [name.partition("/")[2] for name in table.names], n=1)
    raise ConfigError(
        f"the price of {spec.name} is not known, so a budget of dollars cannot be kept; write it in dollars per million tokens: "
        f"{spec.provider}/{spec.model}[price=INPUT/OUTPUT], or [price=0] for a server of your own, or in a table of your own "
        f"(docs/models.md); {f'did you mean {close[0]!r}?' if close else 'evolve models list shows whose are'}"
    )


def _names(spec: ModelSpec) -> Iterator[str]:
    """Lists what a table may call a model, ``VENDOR/MODEL``, the surest first."""
    name = spec.model.lower()
    vendor, _, model = name.removeprefix(f"{_OPENROUTER}/").rpartition("/")
    if _through_openrouter(spec):
        yield f"{_OPENROUTER}/{name.removeprefix(f'{_OPENROUTER}/')}"
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
        price = Price(row.input, row.input if row.cached is None else row.cached, row.output, row.written)
    return ModelFacts(price, row.context, row.max_output, f"litellm {table.version}", row.embeds)


def upper_bound_tokens(request: ModelRequest) -> int:
    """Counts the most tokens that a prompt can be, whatever the tokenizer.

    A tokenizer that falls back to bytes makes at most one token of each byte; the rest is for what frames the messages.
    """
    text = sum(_size_bytes(message.text) for message in request.messages)
    return text + _TOKENS_PER_MESSAGE * len(request.messages) + _TOKENS_PER_PROMPT


def typical_tokens(text: str) -> int:
    """Estimates the tokens of a text, rounded up, for prompts, pacing and forecasts: never for what must hold."""
    return -(-10 * _size_bytes(text) // _BYTES_PER_TEN_TOKENS)


def _size_bytes(text: str) -> int:
    # A model's JSON may hold half of a surrogate pair, which is no UTF-8.
    return len(text.encode(errors="surrogatepass"))
