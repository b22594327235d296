"""Asks any provider that LiteLLM knows; the package is optional, and best kept in an environment of its own."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from typing import Any

from evolve.errors import ConfigError, ModelError
from evolve.llm.base import Completion, Effort, ModelRequest
from evolve.llm.chat import EFFORTS, read_chat, turns
from evolve.llm.client import Client
from evolve.llm.faults import Malformed, innermost
from evolve.llm.specs import ModelSpec
from evolve.llm.transport import NO_KEY

#: These two sent the keys of whoever installed them to a stranger (BerriAI/litellm issues 24512 and 24518).
_MALWARE = ("1.82.7", "1.82.8")
_SECRETS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_SHORTEST_SECRET = 8
#: How it says that an answer lacks what the format asks for.
_UNUSABLE = ("with no 'choices'", "Invalid response object", "Empty or invalid response")
_Body = dict[str, Any]  # Any: JSON values, and LiteLLM's own objects


class LiteLLMModel(Client):
    """A model behind LiteLLM, which turns OpenAI's Chat Completions into whatever the provider speaks.

    Without a key LiteLLM looks for the provider's own in the environment; at a URL it gets none from there. Answers are read
    whole: LiteLLM ends a stream that was cut as if it were complete.

    Args:
        spec: The model, as LiteLLM calls it (``litellm/PROVIDER/MODEL``), and how it is asked.
        key: Its key; None leaves it to LiteLLM, or sends none at a URL.
        environment: Whose keys are cut out of messages.

    Raises:
        ConfigError: If LiteLLM is not installed, or the model is to be streamed.
        ModelError: If the installed version is known to steal keys.
    """

    def __init__(self, spec: ModelSpec, key: str | None, environment: Mapping[str, str] = os.environ) -> None:
        check_litellm(spec)
        super().__init__(spec, [*([key] if key else []), *_secrets(environment)])
        self._key = key
        self._litellm = _import()
        self._client = self._own_client()

    async def close(self) -> None:
        """Closes LiteLLM's connections, which all its models share: a call in flight through another one fails."""
        if self._client is not None:
            await self._client.close()
        await self._litellm.close_litellm_async_clients()
        self._litellm.in_memory_llm_clients_cache.flush_cache()

    def _own_client(self) -> Any:  # Any: one of LiteLLM's optional arguments, of a type that depends on the provider
        """Opens a connection that the environment adds nothing to, where the server speaks OpenAI's format."""
        if not self._spec.url or not self._spec.model.startswith("openai/"):
            return None
        from evolve.llm.openai import open_client  # a second to import, and only needed at a URL

        return open_client(self._spec, self._key)

    async def _ask(self, request: ModelRequest) -> Completion:
        # What LiteLLM works out itself, from its own table, is left aside: a call is paid at the price that was reserved for it,
        # and a price that a user wrote down wins.
        return read_chat((await self._answer(request)).model_dump(mode="json"))

    async def _answer(self, request: ModelRequest) -> Any:  # Any: LiteLLM's ModelResponse
        """Asks; LiteLLM calls nearly everything that goes wrong an InternalServerError of status 500."""
        try:
            return await self._litellm.acompletion(**self._body(request))
        except Exception as error:  # noqa: BLE001 - any provider's; `guarded` tells them apart
            unusable = any(words in str(error) for words in _UNUSABLE)
            failed = Malformed(str(error)) if unusable else innermost(error, "litellm")
        raise failed  # not where it was caught: what caused it is still to be read

    def _body(self, request: ModelRequest) -> _Body:
        settings = self._spec.settings
        body: _Body = {
            "model": self._spec.model,
            "messages": turns(request.messages),
            "max_tokens": request.max_tokens,
            "timeout": settings.timeout_s,
            "num_retries": 0,
            "max_retries": 0,
        }
        if self._spec.url:
            body |= {"base_url": self._spec.url, "api_key": self._key or NO_KEY}
        elif self._key:
            body["api_key"] = self._key
        if self._client is not None:
            body["client"] = self._client
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.effort is not None:
            body["reasoning_effort"] = "high" if request.effort is Effort.MAX else EFFORTS[request.effort]
        if request.seed is not None and "seed" in (self._litellm.get_supported_openai_params(self._spec.model) or ()):
            body["seed"] = request.seed
        return {**body, "extra_body": dict(request.extra)} if request.extra else body


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Finds what LiteLLM may take for a key: it reads dozens of variables."""
    for name, value in environment.items():
        if name.upper().endswith(_SECRETS) and len(value.strip()) >= _SHORTEST_SECRET:
            yield value.strip()


def check_litellm(spec: ModelSpec) -> None:
    """Refuses a model that LiteLLM is not to be asked for here, or a LiteLLM that cannot be used.

    Raises:
        ConfigError: If LiteLLM is not installed, or the model is to be streamed.
        ModelError: If the installed version is known to steal keys.
    """
    if spec.settings.stream:
        raise ConfigError(f"model {spec.name}: answers through litellm are read whole; leave out stream=true")
    _import()


def _import() -> Any:  # Any: a module whose types are there only where it is installed
    """Imports LiteLLM, after a look at its version, with everything off that it does besides asking."""
    try:
        version = importlib.metadata.version("litellm")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(
            "litellm is not installed: pip install 'evolve-platform[litellm]' in an environment of its own, or ask the provider "
            "as openai/MODEL@URL"
        ) from None
    refuse_malware(version)
    # Otherwise importing it downloads a price list.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True  # prints advertisements on every error
    litellm.telemetry = False
    return litellm


def refuse_malware(version: str) -> None:
    """Refuses a version of LiteLLM that steals keys.

    Raises:
        ModelError: If it does.
    """
    if version in _MALWARE:
        raise ModelError(
            f"litellm {version} steals keys (BerriAI/litellm issue 24512): uninstall it, replace every key and password that this "
            "machine holds, and install 1.83 or newer"
        )
