import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import ConfigError
from evolve.llm.base import Message, ModelRequest, Role, Usage
from evolve.llm.litellm_table import FILE
from evolve.llm.prices import (
    FREE,
    Price,
    PriceTable,
    lookup,
    parse_price,
    price_table,
    require_price,
    shipped,
    typical_tokens,
    upper_bound_tokens,
)
from evolve.llm.specs import parse_spec

MINI = Price(0.25, 0.025, 2.0)


def known(text, table=None):
    """What is known of the model of a SPEC."""
    return lookup(parse_spec(text), shipped() if table is None else table)


def priced(text, table=None):
    """Its price, as a run with a budget asks for it."""
    table = shipped() if table is None else table
    return require_price(parse_spec(text), known(text, table), table)


@pytest.fixture(autouse=True)
def no_litellm(monkeypatch, tmp_path):
    """An installed litellm must not decide what these tests see: one without a table stands before it."""
    package = tmp_path / "site" / "litellm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('litellm is never imported to read its table')")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "litellm", raising=False)  # where it is installed, another test may have imported it
    return package


def test_a_call_costs_by_kind_of_token():
    # 600 000 uncached, 400 000 cached, 100 000 answered.
    assert MINI.cost(Usage(1_000_000, 400_000, 100_000, 90_000)) == pytest.approx(0.6 * 0.25 + 0.4 * 0.025 + 0.1 * 2.0)


def test_what_a_cache_takes_has_a_price_of_its_own():
    # 300 000 neither, 400 000 read, 300 000 written.
    usage = Usage(1_000_000, 400_000, 0, 0, 300_000)
    assert Price(4.0, 0.4, 20.0, 5.0).cost(usage) == pytest.approx(0.3 * 4 + 0.4 * 0.4 + 0.3 * 5)
    assert Price(4.0, 0.4, 20.0).cost(usage) == pytest.approx(0.6 * 4 + 0.4 * 0.4)


@given(
    asked=st.integers(0, 10**6),
    counts=st.lists(st.integers(0, 2 * 10**6), min_size=3, max_size=3),
    prices=st.lists(st.floats(0, 100), min_size=4, max_size=4),
    listed=st.booleans(),
)
def test_no_call_costs_more_than_the_most(asked, counts, prices, listed):
    price = Price(*prices[:3], prices[3] if listed else None)
    cached, answered, written = counts
    assert price.cost(Usage(asked, cached, answered, 0, written)) <= price.most(asked, answered) * (1 + 1e-12)


def test_a_server_that_counts_more_cached_than_asked_gets_no_rebate():
    assert MINI.cost(Usage(input=10, cached=1000)) == pytest.approx(10 * 0.025 / 1e6)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("0.25/2", Price(0.25, 0.25, 2.0)),
        ("0.25/0.025/2", MINI),
        ("4/0.4/5/20", Price(4.0, 0.4, 20.0, 5.0)),
        (" 1 / 2 ", Price(1.0, 1.0, 2.0)),
        ("0", FREE),
        ("0.0", FREE),
        ("0/0", FREE),
    ],
)
def test_prices_are_written_per_million(text, price):
    assert parse_price(text) == price


@pytest.mark.parametrize("text", ["", "1", "free", "-1/2", "1/-2", "nan/1", "inf/1", "1/2/3/4/5", "1//2", "$1/2", "1,5/2", "1e3/2"])
def test_what_is_no_price_is_refused_by_value(text):
    with pytest.raises(ConfigError, match=r"is not a price; write dollars per million") as error:
        parse_price(text)
    assert repr(text) in str(error.value)


def test_the_shipped_table_knows_the_usual_models_with_date_and_source():
    table = shipped()
    assert len(table.facts) >= 60
    assert all("litellm" in facts.source or facts.source.startswith("https://") for facts in table.facts.values())
    for name, facts in table.facts.items():
        if facts.embeds:
            continue
        assert facts.price is not None, name
        assert 0 < facts.price.input <= facts.price.output <= 1000, name
        assert 0 <= facts.price.cached <= facts.price.input, name
        assert facts.price.written is None or facts.price.input < facts.price.written <= 2 * facts.price.input, name
        assert facts.context >= 32_000, name
        assert facts.max_output >= 4_000, name


def test_the_shipped_table_knows_models_of_embeddings_which_are_paid_for_what_they_are_asked():
    found = {name: facts for name, facts in shipped().facts.items() if facts.embeds}
    assert {"openai/text-embedding-3-small", "mistral/codestral-embed", "voyage/voyage-code-3"} <= found.keys()
    for name, facts in found.items():
        assert 0 < facts.price.input < 1, name
        assert facts.price.output == 0, name
        assert 500 <= facts.context <= 100_000, name
    assert known("openai/text-embedding-3-small").price == Price(0.02, 0.02, 0.0)


@pytest.mark.parametrize(
    "spec",
    [
        "openai/gpt-5-mini",
        "openai/GPT-5-mini",
        "openai/gpt-5-mini-2025-08-07",
        "litellm/gpt-5-mini",
        "litellm/openai/gpt-5-mini",
        "litellm/openrouter/openai/gpt-5-mini",
        "openai/openai/gpt-5-mini@https://openrouter.ai/api/v1",
        "openai/openai/gpt-5-mini-2025-08-07@https://openrouter.ai/api/v1",
        "openai/gpt-5-mini@http://127.0.0.1:4000/v1",
    ],
)
def test_one_model_goes_by_many_names(spec):
    facts = known(spec)
    assert (facts.price, facts.context, facts.max_output) == (MINI, 272_000, 128_000)


@pytest.mark.parametrize(
    ("spec", "same_as"),
    [
        ("anthropic/claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5"),
        ("litellm/vertex/claude-haiku-4-5", None),
        ("litellm/google/gemini-2.5-pro", "litellm/gemini/gemini-2.5-pro"),
        ("openai/gemini-2.5-pro@https://generativelanguage.example/v1", "litellm/gemini/gemini-2.5-pro"),
        ("openai/x-ai/grok-4.7@https://openrouter.ai/api/v1", "litellm/xai/grok-4.7"),
        ("openai/codestral@https://api.mistral.example/v1", "litellm/mistral/codestral-latest"),
        ("litellm/groq/openai/gpt-oss-120b", "litellm/groq/openai/gpt-oss-120b"),
    ],
)
def test_vendors_go_by_several_names_and_hosts_have_their_own_prices(spec, same_as):
    found = known(spec).price
    assert found == (None if same_as is None else known(same_as).price)
    assert (found is None) == (same_as is None)


@pytest.mark.parametrize(
    "spec", ["openai/deepseek/deepseek-v4-pro@https://openrouter.ai/api/v1", "litellm/openrouter/qwen/qwen3-coder-plus"]
)
def test_models_with_open_weights_have_no_known_price_at_openrouter(spec):
    assert known(spec).price is None


def test_a_name_that_merely_begins_like_a_known_one_is_unknown():
    assert known("openai/gpt-5-mini-deluxe").price is None
    assert known("openai/gpt-5-mini:free").price is None


def test_the_settings_of_the_spec_win():
    facts = known("openai/gpt-5-mini[price=1/2,context=4096]")
    assert (facts.price, facts.context, facts.max_output, facts.source) == (Price(1, 1, 2), 4096, 128_000, "price= of the SPEC")


def test_a_mistyped_price_of_a_spec_names_the_model():
    with pytest.raises(ConfigError, match=r"model openai/x: price: 'cheap' is not a price"):
        known("openai/x[price=cheap]")


def test_a_price_that_is_needed_and_not_known_says_how_to_write_it():
    with pytest.raises(ConfigError, match=r"openai/gpt-5-mni\[price=INPUT/OUTPUT\].*\[price=0\].*did you mean 'gpt-5-mini'"):
        priced("openai/gpt-5-mni")
    assert priced("openai/qwen[price=0]@http://127.0.0.1:8000/v1") == FREE


@pytest.mark.parametrize("spec", ["openai/gpt-5.6-sol", "litellm/openai/gpt-5.6-sol"])
def test_openai_asks_more_for_what_it_writes_to_its_cache(spec):
    assert known(spec).price == Price(4.0, 0.4, 20.0, 5.0)


@pytest.mark.parametrize(
    ("spec", "price"),
    [
        ("anthropic/claude-sonnet-4-6", Price(3.0, 0.3, 15.0, 3.75)),
        ("anthropic/claude-sonnet-4-6[price=2/10]", Price(2.0, 2.0, 10.0, 2.5)),
        ("anthropic/claude-sonnet-4-6[price=2/0.2/4/10]", Price(2.0, 0.2, 10.0, 4.0)),
        ("anthropic/mine[price=0]@http://127.0.0.1:1/v1", FREE),
    ],
)
def test_anthropics_cache_is_paid_for_also_where_a_price_does_not_say_so(spec, price):
    assert known(spec).price == price


def test_of_an_agent_only_the_most_that_a_call_may_cost_keeps_a_budget():
    assert priced("agent/codex[call_usd=0.5]") is None
    assert priced("agent/codex[price=0]") == FREE
    with pytest.raises(ConfigError, match=r"agent/codex\[call_usd=DOLLARS\], or agent/codex\[price=0\] if a subscription pays"):
        priced("agent/codex[price=1/10]")


def table(tmp_path, text, below=None):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return PriceTable.read(path, below)


def test_a_table_of_ones_own_is_read(tmp_path):
    own = table(tmp_path, '[acme]\n"Big-1" = { price = "1/2", context = 8000 }\n')
    facts = known("litellm/acme/big-1", own)
    assert (facts.price, facts.context) == (Price(1, 1, 2), 8000)
    with pytest.raises(ConfigError, match="did you mean 'big-1'"):
        priced("litellm/acme/big-2", own)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[openai\n", r"own\.toml: cannot be read"),
        ('[openai]\n"a" = { prise = "1/2" }', r"own\.toml: \[openai\] 'a': unknown key 'prise'; did you mean 'price'"),
        ('[openai]\n"a" = { price = "1/x" }', r"own\.toml: \[openai\] 'a': '1/x' is not a price"),
        ('[openai]\n"a" = { price = 1.0 }', r"own\.toml: \[openai\] 'a': price must be"),
        ('[openai]\n"a" = { context = 5 }', r"own\.toml: \[openai\] 'a': key 'price' is missing"),
        ('[openai]\n"a" = { price = "1/2", context = 0 }', r"own\.toml: \[openai\] 'a': context must be >= 1"),
        ('[openai]\n"a" = "1/2"', r"own\.toml: \[openai\] 'a' must be a table"),
        ('"a" = "1/2"', r"own\.toml: key 'a' is neither"),
        ('[openai]\ngpt-4.1 = { price = "1/2" }', r"own\.toml: \[openai\] 'gpt-4' holds tables: .* must stand in quotes"),
    ],
)
def test_a_table_with_a_mistake_is_refused_by_file_and_key(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        table(tmp_path, text)


def test_ones_own_table_wins_and_leaves_the_rest(tmp_path):
    own = table(tmp_path, '[openai]\n"gpt-5-mini" = { price = "7/8" }\n', shipped())
    facts = known("openai/gpt-5-mini-2025-08-07", own)
    assert (facts.price, facts.context, facts.max_output) == (Price(7, 7, 8), 272_000, 128_000)
    assert facts.source == str(tmp_path / "own.toml")
    assert known("openai/gpt-5-mini[price=1/2]", own).price == Price(1, 1, 2)
    assert known("openai/gpt-5", own) == known("openai/gpt-5")
    assert own.names[0] == "openai/gpt-5-mini"
    assert sorted(own.names) == sorted(shipped().names)


def test_ones_own_table_wins_under_whatever_name_it_is_found(tmp_path):
    own = table(tmp_path, '[mistral]\n"codestral-latest" = { price = "7/8", context = 99 }\n', shipped())
    facts = known("openai/codestral@https://api.mistral.example/v1", own)
    assert (facts.price, facts.context) == (Price(7, 7, 8), 99)


def test_a_gateways_own_price_can_be_written_down(tmp_path):
    own = table(tmp_path, '[openrouter]\n"deepseek/deepseek-v4-pro" = { price = "1/2" }\n', shipped())
    for spec in ("openai/deepseek/deepseek-v4-pro@https://openrouter.ai/api/v1", "litellm/openrouter/deepseek/deepseek-v4-pro"):
        assert known(spec, own).price == Price(1, 1, 2)


def test_a_table_of_ones_own_is_named_by_a_setting_or_the_environment(tmp_path):
    for name, price in (("set", "1/1"), ("variable", "2/2")):
        (tmp_path / f"{name}.toml").write_text(f'[openai]\n"gpt-5" = {{ price = "{price}" }}\n')
    variable = {"EVOLVE_PRICES": str(tmp_path / "variable.toml")}
    assert known("openai/gpt-5", price_table(str(tmp_path / "set.toml"), variable)).price == Price(1, 1, 1)
    assert known("openai/gpt-5", price_table(None, variable)).price == Price(2, 2, 2)
    assert price_table(None, {"EVOLVE_PRICES": " "}) is shipped()


@pytest.mark.parametrize(("vendor", "meant"), [("opnai", "openai"), ("Antropic", "anthropic"), ("deep-seek", "deepseek")])
def test_a_mistyped_vendor_is_refused(tmp_path, vendor, meant):
    with pytest.raises(ConfigError, match=rf"own\.toml: unknown vendor \[{vendor}\]; did you mean \[{meant}\]"):
        table(tmp_path, f'[{vendor}]\n"a" = {{ price = "1/2" }}', shipped())


@pytest.mark.parametrize("vendor", ["mistralai", "openai_like", "azure", "openrouter", "acme"])
def test_other_vendors_are_taken_as_they_are(tmp_path, vendor):
    own = table(tmp_path, f'[{vendor}]\n"a" = {{ price = "1/2" }}', shipped())
    assert known(f"litellm/{vendor}/a", own).price == Price(1, 1, 2)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        PriceTable.read(tmp_path / "none.toml")


ENTRY = {"mode": "chat", "input_cost_per_token": 3e-07, "output_cost_per_token": 1.1e-06, "max_input_tokens": 1000}


@pytest.mark.parametrize(
    ("entry", "price", "context"),
    [
        (ENTRY, Price(0.3, 0.3, 1.1), 1000),
        ({**ENTRY, "cache_read_input_token_cost": 2.5e-08}, Price(0.3, 0.025, 1.1), 1000),
        ({**ENTRY, "max_input_tokens": 10**6, "input_cost_per_token_above_200k_tokens": 1e-6}, Price(0.3, 0.3, 1.1), 200_000),
        ({**ENTRY, "output_cost_per_reasoning_token": 4e-6}, Price(0.3, 0.3, 4.0), 1000),
        ({**ENTRY, "cache_creation_input_token_cost": 3.75e-07}, Price(0.3, 0.3, 1.1, 0.375), 1000),
        ({**ENTRY, "cache_creation_input_token_cost": 0.0}, Price(0.3, 0.3, 1.1), 1000),
        ({**ENTRY, "output_cost_per_token": "unknown"}, None, 1000),
        ({**ENTRY, "mode": "embedding", "output_cost_per_token": None}, Price(0.3, 0.3, 0.0), 1000),
        ({**ENTRY, "mode": "image_generation"}, None, None),
        (
            {
                "mode": "chat",
                "max_input_tokens": 10**6,
                "tiered_pricing": [
                    {"range": [0, 32000], "input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6},
                    {"range": [32000, 128000], "input_cost_per_token": 2e-6, "output_cost_per_token": 9e-6},
                    {"range": [128000, 1e6], "input_cost_per_token": 4e-6, "output_cost_per_token": 2e-5},
                ],
            },
            Price(2.0, 2.0, 9.0),
            128_000,
        ),
        ({**ENTRY, "tiered_pricing": [{"range": "0-32"}, 5]}, Price(0.3, 0.3, 1.1), 1000),
    ],
)
def test_an_installed_litellm_is_asked_last_and_not_imported(no_litellm, entry, price, context):
    (no_litellm / FILE).write_text(json.dumps({"some/model": entry}))
    facts = known("litellm/some/model")
    assert (facts.price, facts.context) == (price, context)


@pytest.mark.parametrize(("provider", "price"), [("some", Price(0.3, 0.3, 1.1)), ("other", None)])
def test_litellm_calls_the_models_of_its_first_providers_by_the_model_alone(no_litellm, provider, price):
    (no_litellm / FILE).write_text(json.dumps({"model": {**ENTRY, "litellm_provider": provider}}))
    assert known("litellm/some/model").price == price


def test_a_broken_table_of_litellm_is_named(no_litellm):
    (no_litellm / FILE).write_text("{")
    with pytest.raises(ConfigError, match=f"{FILE}, cannot be read"):
        known("litellm/some/model")


def test_no_tokenizer_counts_more_than_the_upper_bound():
    request = ModelRequest((Message(Role.SYSTEM, "é" * 10), Message(Role.USER, "\ud800")), max_tokens=5)
    assert upper_bound_tokens(request) == 20 + 3 + 2 * 16 + 64


def test_typical_tokens_of_code_are_bytes_over_three_point_six():
    assert typical_tokens("x" * 360) == 100
    assert typical_tokens("") == 0
