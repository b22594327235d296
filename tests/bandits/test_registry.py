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
