"""Reads what a user calls a model: ``PROVIDER/MODEL[key=value,...]@URL``."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from evolve.errors import ConfigError, nearest_hint
from evolve.llm.base import Effort
from evolve.settings import build

PROVIDERS = ("openai", "anthropic", "litellm", "agent")
_SPEC = re.compile(r"(?P<provider>[^/\[\]@]+)/(?P<model>[^\[\]]+?)(?:\[(?P<settings>[^\]]*)\])?(?:@(?P<url>https?://\S+))?")
_USER = re.compile(r"://[^/\s]*@")
#: The variant of the system text that models are told where none is named.
DEFAULT_PROMPT = "default"
_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


class Api(StrEnum):
    """Which of the two interfaces of the ``openai`` SDK a server speaks."""

    CHAT = "chat"
    RESPONSES = "responses"


class EditKind(StrEnum):
    """What a model is asked to write."""

    DIFF = "diff"
    """Search/replace blocks."""
    FULL = "full"
    """Whole files."""
    CROSS = "cross"
    """Whole files that combine the parent with another program."""
    REPAIR = "repair"
    """Whole files that mend a failed child of the parent."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How one model is asked.

    Attributes:
        kinds: What it is asked to write; each is an arm of its own. None is every kind, and of a coding agent whole programs:
            it edits files, or is too dear to be asked in four ways.
        prompts: Variants of the system text that it is told; each is an arm of its own.
        temperature: Spread of sampling; None leaves it to the provider.
        effort: How long to think; None leaves it to the provider.
        max_tokens: Of one answer, reasoning included.
        context: Tokens that prompt and answer may take together; None looks it up beside the price.
        price: Dollars per million tokens, ``"INPUT/OUTPUT"``, ``"INPUT/CACHED/OUTPUT"`` or ``"INPUT/CACHED/WRITTEN/OUTPUT"``;
            None looks it up. ``"0"`` is a server of one's own or a subscription: whatever an answer is reported to cost does
            not count.
        call_usd: The most dollars that one call may cost, set aside before it is sent; None works it out from the price.
        key_env: Environment variable that holds the key; None is the provider's own, and no key at a URL.
        api: ``"chat"`` or ``"responses"``; None is Responses at OpenAI itself and Chat Completions at any other URL.
        stream: Whether the answer is read as it is made: a stalled one is noticed sooner.
        grammar: Whether a llama.cpp server is made to write well-formed edits by a grammar.
        concurrency: Calls in flight at once.
        per_minute: Calls begun in any minute; None is no limit.
        tokens_per_minute: Tokens asked and answered in any minute, as far as known; None is no limit.
        timeout_s: Longest wait for one answer.
    """

    kinds: tuple[EditKind, ...] | None = None
    prompts: tuple[str, ...] = (DEFAULT_PROMPT,)
    temperature: float | None = None
    effort: Effort | None = None
    max_tokens: int = 8192
    context: int | None = None
    price: str | None = None
    call_usd: float | None = None
    key_env: str | None = None
    api: Api | None = None
    stream: bool = False
    grammar: bool = False
    concurrency: int = 16
    per_minute: int | None = None
    tokens_per_minute: int | None = None
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        if self.kinds is not None and (not self.kinds or len(set(self.kinds)) != len(self.kinds)):
            raise ValueError(f"kinds must be distinct and at least one, got {[kind.value for kind in self.kinds]}")
        if not self.prompts or len(set(self.prompts)) != len(self.prompts):
            raise ValueError(f"prompts must be distinct and at least one, got {list(self.prompts)}")
        for name in ("max_tokens", "concurrency", "context", "per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if self.call_usd is not None and not 0 < self.call_usd < math.inf:
            raise ValueError(f"call_usd must be finite and > 0, got {self.call_usd}; a model that costs nothing has price=0")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature must lie in [0, 2], got {self.temperature}")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be > 0, got {self.timeout_s}")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model and how it is asked.

    Attributes:
        provider: One of `PROVIDERS`.
        model: As the provider calls it.
        url: Of an OpenAI- or Anthropic-compatible server; empty for the provider's own.
        settings: How it is asked.
        written: The settings in brackets as the user wrote them; empty for none. They tell arms of one model apart.
    """

    provider: str
    model: str
    url: str = ""
    settings: ModelSettings = ModelSettings()
    written: str = ""

    @property
    def name(self) -> str:
        """``PROVIDER/MODEL``, as prices and records call it."""
        return f"{self.provider}/{self.model}"

    @property
    def label(self) -> str:
        """What its arms begin with: the SPEC, with the server's host and port in place of its URL."""
        brackets = f"[{self.written}]" if self.written else ""
        host = urlsplit(self.url).netloc.rpartition("@")[2]
        return f"{self.name}{brackets}{f'@{host}' if host else ''}"

    @property
    def server(self) -> tuple[str, str, str | None]:
        """What limits of calls belong to: the model, where it is asked, and by whose account."""
        return (self.name, self.url, self.key_env)

    @property
    def kinds(self) -> tuple[EditKind, ...]:
        """What it is asked to write."""
        if self.settings.kinds is not None:
            return self.settings.kinds
        return (EditKind.FULL,) if self.provider == "agent" else tuple(EditKind)

    @property
    def key_env(self) -> str | None:
        """The environment variable that holds its key; None when it is asked without one.

        A provider's own key is never sent to another server: at a URL, only a variable that ``key_env`` names counts.
        """
        return self.settings.key_env or (None if self.url else _KEYS.get(self.provider))

    def key(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """Reads its key; None when it is asked without one.

        Raises:
            ConfigError: If the variable is missing or empty.
        """
        if self.key_env is None:
            return None
        key = environment.get(self.key_env, "").strip()
        if not key:
            raise ConfigError(
                f"model {self.name} needs a key: set the environment variable {self.key_env}, name another one with "
                f"{self.provider}/{self.model}[key_env=NAME], or use a server without keys: {self.name}@http://HOST:PORT/v1"
            )
        return key


@dataclass(frozen=True, slots=True)
class ModelTable:
    """A ``[[models]]`` table of a configuration: settings of one model.

    Attributes:
        model: ``PROVIDER/MODEL``, or the whole label with its URL.
        settings: How it is asked; brackets of a SPEC win over it.
    """

    model: str
    settings: ModelSettings = ModelSettings()


def is_model(spec: str) -> bool:
    """Says whether a SPEC names a language model, by its provider."""
    return spec.partition("/")[0] in PROVIDERS and "/" in spec


def parse_spec(text: str, tables: Sequence[ModelTable] = ()) -> ModelSpec:
    """Reads a SPEC.

    Args:
        text: ``PROVIDER/MODEL[key=value,...]@URL``; a value that is a list joins its items with ``+``.
        tables: Settings from a configuration, by model.

    Raises:
        ConfigError: If it is malformed, holds a password, or the provider or a setting is unknown; the message names the nearest
            known one.
    """
    if _USER.search(text):
        # It would be recorded with the run, and no client would send it: of a request's headers only the key's are left.
        raise ConfigError(
            f"model {_USER.sub('://...@', text)!r}: a URL must not hold a user or a password, for SPECs are recorded; put what the "
            "server wants as a key into an environment variable, and name that with [key_env=NAME]"
        )
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"model {text!r} is not PROVIDER/MODEL[key=value,...]@URL, such as openai/gpt-5-mini[effort=high,temperature=0.7] "
            "or openai/qwen@http://127.0.0.1:8000/v1"
        )
    provider, model, url = found["provider"], found["model"], (found["url"] or "").rstrip("/")
    if provider not in PROVIDERS:
        raise ConfigError(f"model {text!r}: unknown provider {provider!r}; {nearest_hint(provider, list(PROVIDERS))}")
    bare = ModelSpec(provider, model, url)
    base = next((table.settings for table in tables if table.model in (bare.name, bare.label)), ModelSettings())
    written = (found["settings"] or "").strip()
    return dataclasses.replace(bare, settings=_settings(written, base, f"model {text!r}"), written=written)


def _settings(written: str, base: ModelSettings, where: str) -> ModelSettings:
    """Lays the settings in brackets over those of the configuration."""
    fields = {field.name: field for field in dataclasses.fields(ModelSettings)}
    given: dict[str, object] = {}
    for item in filter(None, (item.strip() for item in written.split(","))):
        key, found, value = (part.strip() for part in item.partition("="))
        if key not in fields:
            raise ConfigError(f"{where}: unknown setting {key!r}; {nearest_hint(key, list(fields))}")
        if not found or not value:
            raise ConfigError(f"{where}: setting {key!r} has no value; write {key}=VALUE")
        given[key] = _typed(value, str(fields[key].type))
    kept = {name: getattr(base, name) for name in fields}
    return build(ModelSettings, {**kept, **given}, where)


def _typed(value: str, hint: str) -> object:
    """Reads a value as its field wants it; what cannot be read stays text, for `build` to refuse by name."""
    if hint.startswith("tuple"):
        return value.split("+")
    if hint.startswith("bool"):
        return {"true": True, "false": False}.get(value.lower(), value)
    for prefix, reader in (("int", int), ("float", float)):
        if hint.startswith(prefix):
            try:
                return reader(value)
            except ValueError:
                return value
    return value
