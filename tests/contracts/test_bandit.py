from collections.abc import Sequence

import pytest

from evolve.bandits import Bandit, Ucb1
from evolve.testing.bandit import BanditContract


class TestUcb1(BanditContract):
    def make(self, arms: Sequence[str]) -> Bandit:
        return Ucb1(arms, exploration=0.35)


@pytest.mark.parametrize("arms", [[], ["one", "one"]])
def test_arms_are_distinct_and_at_least_one(arms):
    with pytest.raises(ValueError, match="distinct"):
        Ucb1(arms, exploration=0.35)
