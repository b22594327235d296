import dataclasses

import pytest

from evolve.errors import ConfigError
from evolve.llm.base import Effort
from evolve.llm.specs import Api, EditKind, ModelSettings, ModelSpec, ModelTable, is_model, parse_spec

CANARY = "canary-0123456789"


def test_a_spec_is_provider_model_settings_and_url():
    spec = parse_spec(
        " openai/Qwen/Qwen2.5:7b[effort=high, temperature=0.7,kinds=full+diff,stream=true]@http://127.0.0.1:8000/v1/ "
    )
    assert (spec.provider, spec.model, spec.url) == ("openai", "Qwen/Qwen2.5:7b", "http://127.0.0.1:8000/v1")
    assert spec.settings == ModelSettings(
        kinds=(EditKind.FULL, EditKind.DIFF), effort=Effort.HIGH, temperature=0.7, stream=True
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("openai/gpt-5", "openai/gpt-5"),
        ("openai/gpt-5[effort=low]", "openai/gpt-5[effort=low]"),
        ("openai/m[price=0]@http://127.0.0.1:8000/v1", "openai/m[price=0]@127.0.0.1:8000"),
        ("openai/m@https://models.example/api/v1", "openai/m@models.example"),
        ("openai/m@http://[::1]:8000/v1", "openai/m@[::1]:8000"),
    ],
)
def test_a_label_has_the_host_and_port_in_place_of_the_url(text, label):
    assert parse_spec(text).label == label


@pytest.mark.parametrize("url", [f"http://user:{CANARY}@127.0.0.1:8000/v1", f"http://{CANARY}@127.0.0.1:8000/v1"])
def test_a_label_shows_neither_user_nor_password(url):
    assert ModelSpec("openai", "m", url).label == "openai/m@127.0.0.1:8000"


@pytest.mark.parametrize(
    "text",
    [
        f"openai/m@http://user:{CANARY}@host:1/v1",
        f"openai/m@https://{CANARY}@host/v1",
        f"openai/m[prise=0]@http://user:{CANARY}@host:1/v1",
        f"nonsense[@http://user:{CANARY}@host:1/v1",
    ],
)
def test_a_password_in_a_url_is_refused_without_repeating_it(text):
    with pytest.raises(ConfigError, match=r"must not hold a user or a password.*key_env=NAME") as refused:
        parse_spec(text)
    assert CANARY not in str(refused.value)


def test_an_at_sign_behind_the_host_is_no_password():
    assert parse_spec("openai/m@http://host/v1/@team").url == "http://host/v1/@team"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpt-5", r"'gpt-5' is not PROVIDER/MODEL\[key=value,...\]@URL"),
        ("openai/m[effort=high", "is not PROVIDER/MODEL"),
        ("opena/m", "unknown provider 'opena'; did you mean 'openai'"),
        ("openai/m[efort=high]", "unknown setting 'efort'; did you mean 'effort'"),
        ("openai/m[effort]", "setting 'effort' has no value; write effort=VALUE"),
        ("openai/m[effort=]", "setting 'effort' has no value"),
        ("openai/m[effort=huge]", "effort must be one of none, minimal, low, medium, high, max; got 'huge'"),
        ("openai/m[max_tokens=many]", "max_tokens must be a whole number, got 'many'"),
        ("openai/m[stream=perhaps]", "stream must be true or false, got 'perhaps'"),
        ("openai/m[kinds=full+full]", "kinds must be distinct"),
        ("openai/m[kinds=whole]", r"kinds\[0\] must be one of diff, full, cross, repair"),
        ("openai/m[temperature=3]", r"temperature must lie in \[0, 2\]"),
        ("openai/m[concurrency=0]", "concurrency must be >= 1"),
        ("openai/m[timeout_s=0]", "timeout_s must be > 0"),
    ],
)
def test_a_mistake_is_named(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_spec(text)


def test_brackets_win_over_a_configuration_and_keep_the_rest_of_it():
    tables = [ModelTable("openai/m", ModelSettings(max_tokens=100, temperature=0.5, api=Api.CHAT))]
    settings = parse_spec("openai/m[temperature=1]@http://host/v1", tables).settings
    assert (settings.max_tokens, settings.temperature, settings.api) == (100, 1.0, Api.CHAT)
    assert parse_spec("openai/other", tables).settings == ModelSettings()


def test_a_configuration_may_name_one_server_of_several():
    tables = [ModelTable("openai/m@host:1", ModelSettings(max_tokens=100))]
    assert parse_spec("openai/m@http://host:1/v1", tables).settings.max_tokens == 100
    assert parse_spec("openai/m@http://host:2/v1", tables).settings.max_tokens == 8192


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("openai/gpt-5", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-5", "ANTHROPIC_API_KEY"),
        ("openai/m@http://host/v1", None),
        ("openai/m[key_env=MINE]@http://host/v1", "MINE"),
        ("openai/gpt-5[key_env=MINE]", "MINE"),
        ("litellm/groq/m", None),
    ],
)
def test_a_providers_own_key_goes_to_the_provider_alone(text, variable):
    spec = parse_spec(text)
    assert spec.key_env == variable
    assert spec.key({"OPENAI_API_KEY": "1", "ANTHROPIC_API_KEY": "1", "MINE": " 1 "}) == (variable and "1")


@pytest.mark.parametrize("environment", [{}, {"OPENAI_API_KEY": " "}])
def test_a_missing_key_names_its_variable(environment):
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY.*key_env=NAME.*without keys"):
        parse_spec("openai/gpt-5").key(environment)


def test_every_setting_can_be_written_in_brackets():
    written = {
        "kinds": "full",
        "prompts": "default+bold",
        "temperature": "0.5",
        "effort": "low",
        "max_tokens": "9",
        "context": "9",
        "price": "1/2",
        "call_usd": "0.5",
        "key_env": "MINE",
        "api": "chat",
        "stream": "true",
        "grammar": "true",
        "concurrency": "9",
        "per_minute": "9",
        "tokens_per_minute": "9",
        "timeout_s": "9",
    }
    fields = [field.name for field in dataclasses.fields(ModelSettings)]
    assert set(fields) == set(written)
    settings = parse_spec(f"openai/m[{','.join(f'{name}={value}' for name, value in written.items())}]").settings
    default = ModelSettings()
    assert all(getattr(settings, name) != getattr(default, name) for name in fields)


@pytest.mark.parametrize(("text", "model"), [("openai/m", True), ("agent/claude", True), ("local/tune", False), ("openai", False)])
def test_models_are_told_from_other_arms_by_their_provider(text, model):
    assert is_model(text) is model
