"""What needs LiteLLM itself is skipped without it: it is kept in an environment of its own."""

import asyncio
import importlib.metadata
import importlib.util

import pytest

from evolve.errors import ConfigError, ModelError
from evolve.llm.base import CallFailed, Effort, Failure, Message, ModelRequest, Role
from evolve.llm.litellm import LiteLLMModel
from evolve.llm.specs import ModelSettings, ModelSpec
from evolve.testing.model_server import Answer, Fault, ModelServer

installed = pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="litellm is not installed")
MESSAGES = (Message(Role.SYSTEM, "Be short."), Message(Role.USER, "2+2?"))
CANARY = "sk-canary-0123456789abcdef"


def ask(server, model="openai/m", key=None, environment=None, **request):
    async def once():
        client = LiteLLMModel(ModelSpec("litellm", model, server.url), key, environment or {})
        try:
            return await client.complete(ModelRequest(**{"messages": MESSAGES, "max_tokens": 100, **request}))
        finally:
            await client.close()

    return asyncio.run(once())


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8"])
def test_versions_that_steal_keys_are_refused(monkeypatch, version):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    with pytest.raises(ModelError, match=f"litellm {version} steals keys"):
        LiteLLMModel(ModelSpec("litellm", "openai/m"), None)


def test_a_stream_is_refused():
    with pytest.raises(ConfigError, match="leave out stream"):
        LiteLLMModel(ModelSpec("litellm", "openai/m", settings=ModelSettings(stream=True)), None)


@installed
def test_settings_are_sent():
    with ModelServer(["4"]) as server:
        ask(server, "hosted_vllm/m", temperature=0.5, effort=Effort.HIGH, seed=7, extra={"min_p": 0.1})
        body = server.asked[0].body
    assert (body["temperature"], body["reasoning_effort"], body["seed"], body["min_p"]) == (0.5, "high", 7, 0.1)


@installed
@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m", "anthropic/claude-sonnet-4-5", "openrouter/a/m", "deepseek/m"])
def test_no_key_of_the_environment_goes_to_another_server(monkeypatch, model):
    provider = model.partition("/")[0].upper()
    for name in (f"{provider}_API_KEY", "OPENAI_API_KEY", "OPENAI_ORGANIZATION", "ANTHROPIC_AUTH_TOKEN", "LITELLM_API_KEY"):
        monkeypatch.setenv(name, CANARY)
    with ModelServer(["4"]) as server:
        assert ask(server, model).text == "4"
        assert CANARY not in str(dict(server.asked[0].headers)) + str(server.asked[0].body)


@installed
def test_the_price_at_a_provider_is_not_that_of_another_server():
    with ModelServer([Answer("4"), Answer("4", cost_usd=0.5)]) as server:
        assert ask(server, "openai/gpt-4o").cost_usd is None
        assert ask(server, "openai/gpt-4o").cost_usd == 0.5


@installed
@pytest.mark.parametrize(
    ("fault", "failure"),
    [(Fault.RATE_LIMITED, Failure.RATE_LIMITED), (Fault.BAD_KEY, Failure.UNAUTHORIZED), (Fault.OVERFLOW, Failure.CONTEXT_OVERFLOW)],
)
def test_providers_that_are_asked_without_an_sdk_fail_alike(fault, failure):
    with ModelServer([Answer(fault=fault, headers={"Retry-After": "7"})]) as server, pytest.raises(CallFailed) as caught:
        ask(server, "anthropic/claude-sonnet-4-5")
    assert (caught.value.failure, caught.value.retry_after_s) == (failure, 7.0)


@installed
def test_keys_that_litellm_may_have_found_are_cut_out_of_messages():
    with ModelServer([Answer(fault=Fault.BAD_SETTING, words=f"not {CANARY}")]) as server, pytest.raises(CallFailed) as caught:
        ask(server, environment={"SOME_API_KEY": CANARY})
    assert CANARY not in str(caught.value)
