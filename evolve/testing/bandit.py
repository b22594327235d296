"""What every bandit must do: inherit `BanditContract`, supply `make`, and let pytest collect it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from evolve.bandits import Bandit, Situation
from evolve.rng import generator

_ARMS = ("left", "middle", "right")


class BanditContract:
    """Tests of the `Bandit` protocol; a subclass says how to make one.

    Attributes:
        learns: Whether choices follow rewards; not those of fixed weights.
    """

    learns = True

    def make(self, arms: Sequence[str]) -> Bandit:
        """Makes a bandit that has seen nothing."""
        raise NotImplementedError

    def played(self, pulls: int, chances: Sequence[float], *, in_flight: int = 1) -> tuple[Bandit, list[str]]:
        """Plays arms that pay 1 with given chances, several pulls at a time, and returns what was chosen."""
        bandit = self.make(_ARMS[: len(chances)])
        chosen: list[str] = []
        waiting: list[tuple[str, float]] = []
        for pull in range(pulls):
            rng = generator(0, pull, "contract")
            arm = bandit.choose(rng, Situation(Counter(begun for begun, _ in waiting)))
            chosen.append(arm)
            waiting.append((arm, float(rng.random() < chances[_ARMS.index(arm)])))
            if len(waiting) == in_flight:
                bandit.update(*waiting.pop(0))
        return bandit, chosen

    def paid(self, usd: Sequence[float]) -> Bandit:
        """Makes a bandit whose arms were pulled ten times each, at given costs; what costs more paid more."""
        bandit = self.make(_ARMS[: len(usd)])
        for _ in range(10):
            for arm, cost in zip(_ARMS, usd, strict=False):
                bandit.update(arm, min(1.0, 0.1 + cost), cost)
        return bandit

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
        if not self.learns:
            pytest.skip("it does not learn")
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

    def test_the_same_updates_give_the_same_choices_whatever_was_chosen_between(self) -> None:
        asked, resumed = self.make(_ARMS), self.make(_ARMS)
        situation = Situation({"left": 3}, frozenset({"left", "right"}), 0.2)
        for pull in range(60):
            rng = generator(1, pull, "contract")
            arm = _ARMS[int(rng.integers(3))]
            asked.choose(rng, situation)
            asked.update(arm, reward := float(rng.random()), cost := float(rng.random()))
            resumed.update(arm, reward, cost)
        for given in (Situation(), situation):
            draws = [np.random.default_rng(draw) for draw in range(30)]
            again = [np.random.default_rng(draw) for draw in range(30)]
            assert [asked.choose(rng, given) for rng in draws] == [resumed.choose(rng, given) for rng in again]

    def test_many_pulls_may_be_in_flight(self) -> None:
        bandit = self.make(_ARMS)
        assert {bandit.choose(np.random.default_rng(draw)) for draw in range(50)} <= set(_ARMS)

    @pytest.mark.parametrize("pulls_before", [0, 3, 30])
    def test_pulls_begun_together_do_not_all_take_one_arm(self, pulls_before: int) -> None:
        bandit = self.make(_ARMS)
        for pull in range(pulls_before):
            bandit.update(_ARMS[pull % 3], 0.0)
        begun: Counter[str] = Counter()
        for draw in range(16):
            begun[bandit.choose(generator(draw, 0, "contract"), Situation(begun))] += 1
        assert max(begun.values()) <= 12

    @pytest.mark.parametrize("available", [{"right"}, {"left", "right"}])
    @pytest.mark.parametrize("usd_per_step", [None, 0.0, 0.1])
    def test_only_what_is_available_is_chosen(self, available: set[str], usd_per_step: float | None) -> None:
        situation = Situation(available=frozenset(available), usd_per_step=usd_per_step)
        for bandit in (self.make(_ARMS), self.played(60, (0.0, 0.9, 0.0))[0]):
            chosen = {bandit.choose(np.random.default_rng(draw), situation) for draw in range(60)}
            assert chosen <= available

    def test_nothing_available_is_refused(self) -> None:
        with pytest.raises(ValueError, match="available"):
            self.make(_ARMS).choose(np.random.default_rng(0), Situation(available=frozenset()))

    @pytest.mark.parametrize("situation", [Situation({"nowhere": 1}), Situation(available=frozenset({"nowhere"}))])
    def test_situations_with_unknown_arms_are_refused(self, situation: Situation) -> None:
        with pytest.raises(ValueError, match="nowhere"):
            self.make(_ARMS).choose(np.random.default_rng(0), situation)

    @pytest.mark.parametrize("usd_per_step", [0.02, 0.1, 0.3])
    def test_choices_cost_no_more_than_the_budget_on_average(self, usd_per_step: float) -> None:
        costs = {"left": 0.0, "middle": 0.1, "right": 0.5}
        bandit = self.paid([*costs.values()])
        situation = Situation(usd_per_step=usd_per_step)
        spent = [costs[bandit.choose(np.random.default_rng(draw), situation)] for draw in range(1000)]
        # A choice's cost has a standard deviation of at most 0.25; five standard errors of 1000 draws are 0.04.
        assert sum(spent) / len(spent) <= usd_per_step + 0.04

    def test_a_budget_that_nothing_keeps_takes_the_cheapest(self) -> None:
        bandit = self.paid([0.2, 0.3, 0.5])
        chosen = {bandit.choose(np.random.default_rng(draw), Situation(usd_per_step=0.1)) for draw in range(50)}
        assert chosen == {"left"}

    def test_a_budget_that_does_not_bind_changes_nothing(self) -> None:
        bandit = self.paid([0.0, 0.1, 0.5])
        for draw in range(50):
            free = bandit.choose(np.random.default_rng(draw))
            assert bandit.choose(np.random.default_rng(draw), Situation(usd_per_step=10.0)) == free

    def test_free_arms_are_all_that_is_chosen_without_money(self) -> None:
        bandit = self.paid([0.0, 0.0, 0.5])
        chosen = {bandit.choose(np.random.default_rng(draw), Situation(usd_per_step=0.0)) for draw in range(200)}
        assert "right" not in chosen

    @pytest.mark.parametrize("reward", [-0.01, 1.01, float("nan"), float("inf")])
    def test_rewards_outside_zero_to_one_are_refused(self, reward: float) -> None:
        bandit = self.make(_ARMS)
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            bandit.update("left", reward)
        assert dict(bandit.pulls()) == {"left": 0, "middle": 0, "right": 0}

    @pytest.mark.parametrize("cost_usd", [-0.01, float("nan"), float("inf")])
    def test_costs_below_zero_or_not_finite_are_refused(self, cost_usd: float) -> None:
        bandit = self.make(_ARMS)
        with pytest.raises(ValueError, match="cost_usd"):
            bandit.update("left", 0.5, cost_usd)
        assert dict(bandit.pulls()) == {"left": 0, "middle": 0, "right": 0}

    def test_unknown_arms_are_refused(self) -> None:
        with pytest.raises(ValueError, match="nowhere"):
            self.make(_ARMS).update("nowhere", 0.5)

    def test_both_ends_of_the_range_are_rewards(self) -> None:
        bandit = self.make(_ARMS)
        bandit.update("left", 0)
        bandit.update("left", 1)
        assert bandit.pulls()["left"] == 2
