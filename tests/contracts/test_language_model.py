import dataclasses
import importlib.util

import pytest

from evolve.llm.anthropic import AnthropicModel
from evolve.llm.base import LanguageModel
from evolve.llm.litellm import LiteLLMModel
from evolve.llm.openai import OpenAIModel
from evolve.llm.specs import Api, ModelSettings, ModelSpec
from evolve.testing.model import CANARY, LanguageModelContract
from evolve.testing.model_server import ModelServer


class _AtUrl(LanguageModelContract):
    """Clients that a SPEC's URL leads to the server."""

    settings = ModelSettings()

    def spec(self, server: ModelServer, timeout_s: float) -> ModelSpec:
        settings = dataclasses.replace(self.settings, timeout_s=timeout_s)
        return ModelSpec("openai", "some-model", server.url, settings)

    def make(self, server: ModelServer, key: str | None = CANARY, timeout_s: float = 30.0) -> LanguageModel:
        return OpenAIModel(self.spec(server, timeout_s), key)


class TestChat(_AtUrl):
    pass


class TestChatStreamed(_AtUrl):
    settings = ModelSettings(stream=True)


class TestResponses(_AtUrl):
    settings = ModelSettings(api=Api.RESPONSES)


class TestResponsesStreamed(_AtUrl):
    settings = ModelSettings(api=Api.RESPONSES, stream=True)


class TestAnthropic(_AtUrl):
    def make(self, server: ModelServer, key: str | None = CANARY, timeout_s: float = 30.0) -> LanguageModel:
        spec = dataclasses.replace(self.spec(server, timeout_s), provider="anthropic")
        return AnthropicModel(spec, key)


class TestAnthropicStreamed(TestAnthropic):
    settings = ModelSettings(stream=True)


@pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="litellm is not installed: it is kept in an environment of its own"
)
class TestLiteLLM(_AtUrl):
    def make(self, server: ModelServer, key: str | None = CANARY, timeout_s: float = 30.0) -> LanguageModel:
        spec = dataclasses.replace(self.spec(server, timeout_s), provider="litellm", model="openai/some-model")
        return LiteLLMModel(spec, key)
