"""Reads what a user calls an embedder, ``novelty.embedder``.

``""`` or ``"hashed"`` is the built-in one (`evolve.archive.embeddings.HashedNgrams`); ``openai/MODEL`` and
``openai/MODEL@URL`` are models behind OpenAI's ``/embeddings``; ``sentence-transformers/NAME-or-folder`` works on this machine;
any other name is a plug-in of the group ``evolve.embedders``: a class or function without arguments that makes an
`evolve.archive.embeddings.Embedder`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint

from evolve.archive.embeddings import Embedder
from evolve.archive.novelty import HASHED
from evolve.errors import ConfigError, nearest_hint
from evolve.llm.sentences import PROVIDER, SentenceEmbedder, check_sentences
from evolve.llm.specs import PROVIDERS, ModelSettings, ModelSpec, ModelTable, parse_spec
from evolve.plugins import installed, load

#: Entry points of other packages' embedders.
GROUP = "evolve.embedders"
#: Settings of models that answer in words.
_UNREAD = ("kinds", "prompts", "temperature", "effort", "max_tokens", "api", "stream", "grammar")


@dataclass(frozen=True, slots=True)
class LocalEmbedder:
    """An embedder that works in this process.

    Attributes:
        name: Its SPEC.
        check: Refuses it where it cannot be made, quickly.
        make: Makes it, which may take seconds.
    """

    name: str
    check: Callable[[], None]
    make: Callable[[], Embedder]


def parse_embedder(text: str, tables: Sequence[ModelTable] = ()) -> ModelSpec | LocalEmbedder | None:
    """Reads the SPEC of an embedder.

    Args:
        text: What the user wrote.
        tables: Settings of models from a configuration.

    Returns:
        A model behind an API, an embedder of this process, or None for the built-in one.

    Raises:
        ConfigError: If it is malformed or unknown, the message naming the nearest known one, or a setting says nothing here.
    """
    spec = text.strip()
    if spec in ("", HASHED):
        return None
    plugins = installed(GROUP)
    if spec in plugins:
        return LocalEmbedder(spec, lambda: None, partial(_plugged, spec, plugins[spec]))
    provider, _, model = spec.partition("/")
    if provider == PROVIDER and model:
        return LocalEmbedder(spec, partial(check_sentences, spec), partial(SentenceEmbedder, model))
    if provider == "openai" and model:
        return _with_settings_that_are_read(parse_spec(spec, tables))
    if provider in PROVIDERS:
        raise ConfigError(
            f"novelty.embedder: {spec!r}: {provider} is not asked for embeddings; write openai/MODEL, openai/MODEL@URL for any "
            f"server with OpenAI's /embeddings, or {PROVIDER}/NAME"
        )
    hint = nearest_hint(provider, [HASHED, "openai", PROVIDER, *plugins])
    raise ConfigError(f"novelty.embedder: unknown embedder {spec!r}; {hint} (openai/MODEL, {PROVIDER}/NAME-or-folder)")


def check_embedder(found: ModelSpec | LocalEmbedder | None, environment: Mapping[str, str] = os.environ) -> None:
    """Refuses an embedder that could not be asked, and makes nothing.

    Raises:
        ConfigError: If its key or its package is missing.
    """
    if isinstance(found, ModelSpec):
        found.key(environment)
    elif found is not None:
        found.check()


def embedder_name(found: ModelSpec | LocalEmbedder) -> str:
    """Names what makes vectors alike: the model and where it is asked."""
    if isinstance(found, LocalEmbedder):
        return found.name
    return f"{found.name}@{found.url}" if found.url else found.name


def _with_settings_that_are_read(spec: ModelSpec) -> ModelSpec:
    usual = ModelSettings()
    for name in _UNREAD:
        if getattr(spec.settings, name) != getattr(usual, name):
            raise ConfigError(f"novelty.embedder: {spec.name}: {name} says nothing to a model of embeddings; leave it out")
    return spec


def _plugged(name: str, point: EntryPoint) -> Embedder:
    factory = load(point)
    if not callable(factory):
        raise ConfigError(f"novelty.embedder: plug-in {name!r} must be a class or function that makes an embedder, got {factory!r}")
    made: Embedder = factory()
    return made
