import asyncio
import importlib.metadata
import subprocess
import sys

import pytest

from evolve.errors import ConfigError
from evolve.llm.agent import AgentModel
from evolve.llm.agent_command import AgentCommand
from evolve.llm.anthropic import AnthropicModel
from evolve.llm.clients import check_client, make_client
from evolve.llm.openai import OpenAIModel
from evolve.llm.specs import ModelSpec, parse_spec

AGENTS = {"mine": AgentCommand(("true",)), "nowhere": AgentCommand(("no-such-command",))}


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("openai/gpt-5", OpenAIModel),
        ("openai/qwen@http://127.0.0.1:8000/v1", OpenAIModel),
        ("anthropic/claude-sonnet-5", AnthropicModel),
    ],
)
def test_the_provider_chooses_the_client(spec, kind):
    client = make_client(parse_spec(spec), {"OPENAI_API_KEY": "one", "ANTHROPIC_API_KEY": "two"})
    asyncio.run(client.close())
    assert isinstance(client, kind)
    assert client.name == spec.partition("@")[0]


def test_a_missing_key_is_said_before_anything_is_asked():
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        make_client(ModelSpec("openai", "gpt-5"), {})


def test_a_missing_litellm_says_how_to_install_it(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigError, match=r"pip install 'evolve-platform\[litellm\]' in an environment of its own"):
        make_client(ModelSpec("litellm", "openrouter/x"), {})


def test_an_unknown_provider_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'openai'"):
        make_client(ModelSpec("opena", "x"), {})


def test_a_configuration_defines_agents_and_replaces_built_in_ones(monkeypatch):
    agents = {"mine": AgentCommand(("true",)), "claude": AgentCommand(("true",))}
    for name in agents:
        client = make_client(parse_spec(f"agent/{name}"), {"PATH": "/usr/bin:/bin"}, agents=agents)
        assert client.name == f"agent/{name}"
    with pytest.raises(ConfigError, match=r"did you mean 'mine'.*in a table \[agents\.mime\]"):
        make_client(parse_spec("agent/mime"), {}, agents=agents)


def test_no_sdk_is_imported_before_a_model_is_made():
    script = "import sys, evolve.llm.clients; print(sorted({'openai', 'anthropic', 'litellm', 'httpx'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("spec", "environment"),
    [
        ("openai/gpt-5", {}),
        ("anthropic/claude-sonnet-5", {}),
        ("openai/m[key_env=SOME_KEY]@http://127.0.0.1:1/v1", {}),
        ("litellm/openrouter/x[stream=true]", {}),
        ("agent/mime", {"PATH": "/usr/bin:/bin"}),
        ("agent/nowhere", {"PATH": "/usr/bin:/bin"}),
        ("agent/mine[temperature=1]", {"PATH": "/usr/bin:/bin"}),
        ("agent/mine/model", {"PATH": "/usr/bin:/bin"}),
    ],
)
def test_a_check_refuses_what_could_not_be_made_in_the_same_words(spec, environment):
    refusals = []
    for function in (check_client, make_client):
        with pytest.raises(ConfigError) as refused:
            function(parse_spec(spec), environment, agents=AGENTS)
        refusals.append(str(refused.value))
    assert refusals[0] == refusals[1]


def test_a_check_makes_no_client(monkeypatch):
    for kind in (OpenAIModel, AnthropicModel, AgentModel):
        monkeypatch.setattr(kind, "__init__", lambda *arguments, **more: pytest.fail("a client was made"))
    environment = {"OPENAI_API_KEY": "one", "ANTHROPIC_API_KEY": "two", "PATH": "/usr/bin:/bin"}
    for spec in ("openai/gpt-5", "anthropic/claude-sonnet-5", "agent/mine"):
        check_client(parse_spec(spec), environment, agents=AGENTS)
