from collections.abc import Sequence

import pytest

from evolve.bandits import BANDITS, Bandit, BanditConfig, Ucb1, make_bandit
from evolve.testing.bandit import BanditContract


class BuiltIn(BanditContract):
    name: str

    def make(self, arms: Sequence[str]) -> Bandit:
        return make_bandit(arms, BanditConfig(name=self.name))


class TestUcb1(BuiltIn):
    name = "ucb1"


class TestDiscountedUcb(BuiltIn):
    name = "discounted-ucb"


class TestThompsonBeta(BuiltIn):
    name = "thompson-beta"


class TestThompsonGaussian(BuiltIn):
    name = "thompson-gaussian"


class TestExp3(BuiltIn):
    name = "exp3"


class TestAsymmetric(BuiltIn):
    name = "asymmetric"


class TestFixed(BuiltIn):
    name = "fixed"
    learns = False


def test_every_built_in_is_held_to_the_contract():
    assert {kind.name for kind in BuiltIn.__subclasses__()} == set(BANDITS)


@pytest.mark.parametrize("arms", [[], ["one", "one"]])
def test_arms_are_distinct_and_at_least_one(arms):
    with pytest.raises(ValueError, match="distinct"):
        Ucb1(arms, exploration=0.35)
