"""Makes the client that a SPEC asks for; an SDK is imported when a model of its provider is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from evolve.errors import ConfigError, nearest_hint
from evolve.llm.agent_command import AgentCommand, command_of
from evolve.llm.base import LanguageModel
from evolve.llm.specs import PROVIDERS, ModelSpec


def make_client(
    spec: ModelSpec,
    environment: Mapping[str, str] = os.environ,
    *,
    agents: Mapping[str, AgentCommand] = MappingProxyType({}),
    hidden: Sequence[Path] = (),
) -> LanguageModel:
    """Makes a client.

    Args:
        spec: The model and how it is asked.
        environment: Where its key is looked up.
        agents: A configuration's own coding agents, by name.
        hidden: Files and folders that no coding agent may read.

    Raises:
        ConfigError: If the key, the SDK or the agent's command is missing, or the provider or the agent is unknown.
        ModelError: If the SDK is one that must not be used.
    """
    if spec.provider == "openai":
        from evolve.llm.openai import OpenAIModel  # a second to import, and only when used

        return OpenAIModel(spec, spec.key(environment))
    if spec.provider == "anthropic":
        from evolve.llm.anthropic import AnthropicModel  # three seconds to import

        return AnthropicModel(spec, spec.key(environment))
    if spec.provider == "litellm":
        from evolve.llm.litellm import LiteLLMModel  # an optional package, imported by the client

        return LiteLLMModel(spec, spec.key(environment))
    if spec.provider == "agent":
        from evolve.llm.agent import AgentModel  # starts programs; runs without agents need none of it

        return AgentModel(spec, command_of(spec, agents), hidden=hidden, environment=environment)
    raise ConfigError(f"model {spec.name}: unknown provider {spec.provider!r}; {nearest_hint(spec.provider, list(PROVIDERS))}")
