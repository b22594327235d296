import pytest

from evolve.comparing.variants import parse_variant, parse_variants
from evolve.errors import ConfigError
from evolve.strategies import strategy_names


def test_a_strategy_is_named_alone_or_with_settings_of_its_own():
    assert parse_variant("default").label == "default"
    variant = parse_variant(' default [ novelty.max_similarity = 0.99 , bandit.name="ucb1",] ')
    assert variant.label == 'default[novelty.max_similarity=0.99,bandit.name="ucb1"]'
    assert variant.table == {"novelty": {"max_similarity": 0.99}, "bandit": {"name": "ucb1"}}
    assert parse_variant(variant.label) == variant
    assert parse_variant("default[]") == parse_variant("default")


def test_commas_within_a_value_belong_to_it():
    variant = parse_variant('default[arms=["local/literals", "local/blocks"],bandit.name="a,b"]')
    assert variant.table == {"arms": ["local/literals", "local/blocks"], "bandit": {"name": "a,b"}}


def test_none_named_is_every_strategy():
    assert [variant.label for variant in parse_variants([])] == strategy_names()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defualt", "unknown strategy 'defualt'; did you mean 'default'?"),
        ("default[novelty.max_similarity]", "'novelty.max_similarity' is not key=value"),
        ("default[seed=3]", "seed is the same for all that is compared; give it by --seeds"),
        ("default[steps=3]", "give it by --steps"),
        ("default[strategy=other]", "write the other strategy's name before the brackets"),
        ("default[a=1", "is not NAME or NAME"),
        ("", "is not NAME or NAME"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_to_write(text, message):
    with pytest.raises(ConfigError) as refused:
        parse_variant(text)
    assert message in str(refused.value)


def test_the_same_strategy_twice_is_refused():
    with pytest.raises(ConfigError, match="named twice"):
        parse_variants(["default[ lag=2 ]", "default[lag=2]"])
