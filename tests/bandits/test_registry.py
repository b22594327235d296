from pathlib import Path

import pytest

from evolve.bandits import (
    BANDITS,
    Asymmetric,
    BanditConfig,
    DiscountedUcb,
    Exp3,
    Fixed,
    ThompsonBeta,
    ThompsonGaussian,
    Ucb1,
    make_bandit,
)
from evolve.bandits.config import NUMBERS

KINDS = {
    "ucb1": Ucb1,
    "discounted-ucb": DiscountedUcb,
    "thompson-beta": ThompsonBeta,
    "thompson-gaussian": ThompsonGaussian,
    "exp3": Exp3,
    "asymmetric": Asymmetric,
    "fixed": Fixed,
}


@pytest.mark.parametrize("name", BANDITS)
def test_a_name_makes_its_bandit(name):
    made = make_bandit(["a", "b"], BanditConfig(name=name, prior_cost_usd=0.5))
    assert type(made) is KINDS[name]
    assert made.mean_costs_usd().tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", BANDITS)
def test_the_document_names_every_bandit_with_its_defaults(name):
    text = (Path(__file__).parents[2] / "docs" / "bandits.md").read_text()
    settings = ", ".join(f"`{setting}` ({number:g})" for setting, number in NUMBERS[name].items()) or "`weights` (all 1)"
    assert f"| `{name}` | {settings} |" in text
