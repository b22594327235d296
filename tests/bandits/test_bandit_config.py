import pytest

from evolve.bandits import BANDITS, BanditConfig
from evolve.bandits.config import NUMBERS
from evolve.errors import ConfigError
from evolve.settings import build, plain


@pytest.mark.parametrize(
    "settings",
    [
        {"exploration": -0.1},
        {"exploration": float("nan")},
        {"discount": 0.0, "name": "discounted-ucb"},
        {"discount": 1.1, "name": "discounted-ucb"},
        {"exploration": 0.0, "name": "thompson-beta"},
        {"exploration": 1.5, "name": "exp3"},
        {"weights": {"a": -1.0}, "name": "fixed"},
        {"prior_cost_usd": -1.0},
        {"reward_window": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        BanditConfig(**settings)


@pytest.mark.parametrize("name", ["fixed", "ucb1"])
def test_a_setting_that_the_bandit_does_not_use_is_refused(name):
    with pytest.raises(ValueError, match=f"bandit '{name}' does not use discount, got 0.9; leave it out or choose one of disc"):
        BanditConfig(name=name, discount=0.9)


def test_weights_are_for_fixed_alone():
    with pytest.raises(ValueError, match="bandit 'ucb1' does not use weights"):
        BanditConfig(name="ucb1", weights={"a": 1.0})


def test_a_mistyped_name_is_answered_with_the_nearest_one():
    with pytest.raises(ValueError, match="thompson-beta"):
        BanditConfig(name="thompson-bata")


def test_a_number_is_as_set_or_the_bandits_own():
    assert BanditConfig(name="ucb1", exploration=0.0).number("exploration") == 0.0
    for name, numbers in NUMBERS.items():
        assert {setting: BanditConfig(name=name).number(setting) for setting in numbers} == dict(numbers)


def test_the_defaults_of_every_bandit_are_allowed():
    for name, numbers in NUMBERS.items():
        assert BanditConfig(name=name, **numbers).name == name


def test_every_bandit_has_its_numbers():
    assert set(NUMBERS) == set(BANDITS)


def test_weights_are_written_as_a_table_and_survive_being_stored():
    config = build(BanditConfig, {"name": "fixed", "weights": {"local/literals": 2, "some/model-1.5": 0.5}}, "bandit")
    assert config.weights == {"local/literals": 2.0, "some/model-1.5": 0.5}
    assert build(BanditConfig, plain(config), "stored") == config
    with pytest.raises(ConfigError, match=r"bandit: weights\.a must be a number, got 'x'"):
        build(BanditConfig, {"name": "fixed", "weights": {"a": "x"}}, "bandit")
    with pytest.raises(ConfigError, match="weights must be a table"):
        build(BanditConfig, {"name": "fixed", "weights": [1.0]}, "bandit")
