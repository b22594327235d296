"""What every bandit must do: inherit `BanditContract`, supply `make`, and let pytest collect it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evolve.bandits import Bandit
from evolve.rng import generator

_ARMS = ("left", "middle", "right")


class BanditContract:
    """Tests of the `Bandit` protocol; a subclass says how to make one."""

    def make(self, arms: Sequence[str]) -> Bandit:
        """Makes a bandit that has seen nothing."""
        raise NotImplementedError

    def played(self, pulls: int, chances: Sequence[float], *, in_flight: int = 1) -> tuple[Bandit, list[str]]:
        """Plays arms that pay 1 with given chances, several pulls at a time, and returns what was chosen."""
        bandit = self.make(_ARMS[: len(chances)])
        chosen, waiting = [], []
        for pull in range(pulls):
            rng = generator(0, pull, "contract")
            arm = bandit.choose(rng)
            chosen.append(arm)
            waiting.append((arm, float(rng.random() < chances[_ARMS.index(arm)])))
            if len(waiting) == in_flight:
                bandit.update(*waiting.pop(0))
        return bandit, chosen

    def test_it_starts_without_pulls(self) -> None:
        assert dict(self.make(_ARMS).pulls()) == {"left": 0, "middle": 0, "right": 0}

    def test_it_counts_finished_pulls(self) -> None:
        bandit = self.make(_ARMS)
        for arm, reward in [("left", 0.0), ("right", 1.0), ("left", 0.25)]:
            bandit.update(arm, reward)
        assert dict(bandit.pulls()) == {"left": 2, "middle": 0, "right": 1}

    def test_a_single_arm_is_always_pulled(self) -> None:
        bandit = self.make(("only",))
        assert {bandit.choose(np.random.default_rng(draw)) for draw in range(20)} == {"only"}

    def test_every_arm_is_pulled(self) -> None:
        assert set(self.played(60, (0.0, 0.0, 1.0))[1]) == set(_ARMS)

    def test_every_arm_is_pulled_though_nothing_pays(self) -> None:
        pulls = self.played(90, (0.0, 0.0, 0.0))[0].pulls()
        assert min(pulls.values()) >= 5

    def test_the_arm_that_pays_is_pulled_most(self) -> None:
        pulls = self.played(400, (0.05, 0.6, 0.05), in_flight=4)[0].pulls()
        assert max(pulls, key=lambda arm: pulls[arm]) == "middle"

    def test_the_same_calls_give_the_same_choices(self) -> None:
        assert self.played(100, (0.1, 0.2, 0.3))[1] == self.played(100, (0.1, 0.2, 0.3))[1]

    def test_choosing_leaves_its_state_alone(self) -> None:
        bandit, _ = self.played(50, (0.1, 0.2, 0.3))
        before = dict(bandit.pulls())
        first = [bandit.choose(np.random.default_rng(draw)) for draw in range(30)]
        assert [bandit.choose(np.random.default_rng(draw)) for draw in range(30)] == first
        assert dict(bandit.pulls()) == before

    def test_many_pulls_may_be_in_flight(self) -> None:
        bandit = self.make(_ARMS)
        assert {bandit.choose(np.random.default_rng(draw)) for draw in range(50)} <= set(_ARMS)

    @pytest.mark.parametrize("reward", [-0.01, 1.01, float("nan"), float("inf")])
    def test_rewards_outside_zero_to_one_are_refused(self, reward: float) -> None:
        bandit = self.make(_ARMS)
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            bandit.update("left", reward)
        assert dict(bandit.pulls()) == {"left": 0, "middle": 0, "right": 0}

    def test_unknown_arms_are_refused(self) -> None:
        with pytest.raises(ValueError, match="nowhere"):
            self.make(_ARMS).update("nowhere", 0.5)

    def test_both_ends_of_the_range_are_rewards(self) -> None:
        bandit = self.make(_ARMS)
        bandit.update("left", 0)
        bandit.update("left", 1)
        assert bandit.pulls()["left"] == 2
