"""Makes the client that a SPEC asks for; an SDK is imported when a model of its provider is checked or made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
    return _checked(spec, environment, agents, hidden)()


def check_client(
    spec: ModelSpec,
    environment: Mapping[str, str] = os.environ,
    *,
    agents: Mapping[str, AgentCommand] = MappingProxyType({}),
) -> None:
    """Refuses what `make_client` refuses, and makes nothing that would have to be closed.

    Args:
        spec: The model and how it is asked.
        environment: Where its key is looked up.
        agents: A configuration's own coding agents, by name.

    Raises:
        ConfigError: If the key, the SDK or the agent's command is missing, or the provider or the agent is unknown.
        ModelError: If the SDK is one that must not be used.
    """
    _checked(spec, environment, agents, ())


def _checked(
    spec: ModelSpec, environment: Mapping[str, str], agents: Mapping[str, AgentCommand], hidden: Sequence[Path]
) -> Callable[[], LanguageModel]:
    """Refuses what cannot be made; returns what makes the rest."""
    if spec.provider == "openai":
        from evolve.llm.openai import OpenAIModel  # a second to import, and only when used

        return partial(OpenAIModel, spec, spec.key(environment))
    if spec.provider == "anthropic":
        from evolve.llm.anthropic import AnthropicModel  # three seconds to import

        return partial(AnthropicModel, spec, spec.key(environment))
    if spec.provider == "litellm":
        from evolve.llm.litellm import LiteLLMModel, check_litellm  # an optional package, imported by the client

        key = spec.key(environment)
        check_litellm(spec)
        return partial(LiteLLMModel, spec, key)
    if spec.provider == "agent":
        from evolve.llm.agent import AgentModel, check_agent  # starts programs; runs without agents need none of it

        command = command_of(spec, agents)
        check_agent(spec, command, environment)
        return partial(AgentModel, spec, command, hidden=hidden, environment=environment)
    raise ConfigError(f"model {spec.name}: unknown provider {spec.provider!r}; {nearest_hint(spec.provider, list(PROVIDERS))}")
