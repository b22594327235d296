"""How much of what could be had do bandits get, on worlds like runs: rare rewards, many pulls in flight, costs, a budget.

``python benchmarks/bandits.py`` prints the table of docs/bandits.md for seeds 0-99; ``--tune`` tries each bandit's settings on
seeds from 1000 and prints them, best first. Every number follows from the seeds; nothing is timed.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evolve.bandits import BANDITS, Bandit, BanditConfig, Situation, make_bandit
from evolve.rng import generator

STEPS = 300
#: Dollars per pull: half of the arms are free, as local mutators are, and prices of models differ tenfold.
PRICES = (0.0, 0.0, 0.0, 0.002, 0.005, 0.02)
#: The budget, as a share of what always pulling the best arm would cost.
BUDGET_SHARE = 0.25
REPORTED = range(100)
TUNED = range(1000, 1100)


@dataclass(frozen=True, slots=True)
class World:
    """What arms are worth, and their luck, which every bandit shares.

    Attributes:
        rates: ``(STEPS, n_arms)`` chance that a pull improves something.
        sizes: ``(n_arms,)`` mean reward of a pull that does.
        costs: ``(n_arms,)`` mean dollars per pull.
        luck: ``(STEPS, n_arms, 3)`` uniform draws: whether it improves, by how much, and what it costs.
    """

    rates: np.ndarray
    sizes: np.ndarray
    costs: np.ndarray
    luck: np.ndarray

    @property
    def worth(self) -> np.ndarray:
        """``(STEPS, n_arms)`` expected reward of a pull."""
        return np.asarray(self.rates * self.sizes)

    def reward(self, step: int, arm: int) -> float:
        """Draws what a pull brings: mostly nothing."""
        chance, size, _ = self.luck[step, arm]
        if chance >= self.rates[step, arm]:
            return 0.0
        mean = self.sizes[arm]
        return float(mean + (2 * size - 1) * min(mean, 1 - mean))

    def cost(self, step: int, arm: int) -> float:
        """Draws what a pull costs: within half of the mean."""
        return float(self.costs[arm] * (0.5 + self.luck[step, arm, 2]))


class Scenario(NamedTuple):
    """A kind of world.

    Attributes:
        rates: Makes ``(STEPS, n_arms)`` chances of an improvement.
        in_flight: Pulls at once.
        costs: Dollars per arm; None shuffles `PRICES` such that the best arm is not free.
    """

    rates: Callable[[np.random.Generator], np.ndarray]
    in_flight: int = 8
    costs: tuple[float, ...] | None = None


def _constant(rates: Sequence[float]) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda _: np.tile(rates, (STEPS, 1))


def _many(rng: np.random.Generator) -> np.ndarray:
    return np.tile(np.concatenate([rng.uniform(0.0, 0.03, 14), [0.1, 0.12]]), (STEPS, 1))


def _drifting(rng: np.random.Generator) -> np.ndarray:
    """Every arm has its time: chances rise and fall once over the run, each at a time of its own."""
    time = np.arange(STEPS)[:, None] / STEPS
    return np.asarray(0.01 + 0.14 * np.maximum(np.cos(2 * np.pi * (time - rng.random(6))), 0.0) ** 2)


def _hardening(_: np.random.Generator) -> np.ndarray:
    """Improvements become rare for all arms, as in every run."""
    fading = 1 / (1 + np.arange(STEPS)[:, None] / 60)
    return np.asarray(fading * np.array([0.04, 0.05, 0.06, 0.08, 0.12, 0.3]))


def _late(_: np.random.Generator) -> np.ndarray:
    rates = np.tile([0.01, 0.02, 0.02, 0.03, 0.06, 0.0], (STEPS, 1))
    rates[STEPS // 3 :, -1] = 0.15
    return rates


SCENARIOS: Mapping[str, Scenario] = {
    "stationary": Scenario(_constant((0.02, 0.02, 0.03, 0.04, 0.06, 0.12))),
    "one at a time": Scenario(_constant((0.02, 0.02, 0.03, 0.04, 0.06, 0.12)), in_flight=1),
    "many arms": Scenario(_many),
    "drifting": Scenario(_drifting),
    "hardening": Scenario(_hardening),
    "late bloomer": Scenario(_late),
    "dear but better": Scenario(_constant((0.02, 0.03, 0.04, 0.05, 0.07, 0.15)), costs=(0.0, 0.0, 0.0, 0.002, 0.002, 0.02)),
}


def make_world(name: str, seed: int) -> World:
    """Makes the world of a scenario and seed."""
    scenario = SCENARIOS[name]
    rng = generator(seed, 0, f"world/{name}")
    rates = scenario.rates(rng)
    n_arms = int(rates.shape[1])
    sizes = rng.uniform(0.35, 0.65, n_arms)
    best = int((rates * sizes).sum(axis=0).argmax())
    costs = np.array(scenario.costs) if scenario.costs is not None else rng.permutation(np.resize(PRICES, n_arms))
    while costs[best] == 0:
        costs = rng.permutation(costs)
    return World(rates, sizes, costs, rng.random((STEPS, n_arms, 3)))


def budget_of(world: World) -> float:
    """Dollars that bind: a share of what the best arm of every step would cost."""
    return float(BUDGET_SHARE * world.costs[world.worth.argmax(axis=1)].sum())


def attainable(world: World, budget: float | None) -> float:
    """The largest expected sum of rewards with known chances, within the budget on average.

    The dual of the linear programme over all steps: one price of a dollar, found where the bound is lowest.
    """
    if budget is None:
        return float(world.worth.max(axis=1).sum())

    def bound(price: float) -> float:
        return float((world.worth - price * world.costs).max(axis=1).sum() + price * budget)

    low, high = 0.0, 1e3
    for _ in range(60):  # ternary search: the bound is convex
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if bound(left) <= bound(right) else (left, high)
    return bound((low + high) / 2)


def play(world: World, bandit: Bandit, scenario: Scenario, budget: float | None, seed: int, *, told: bool = True) -> float:
    """Plays a world to its end and sums what the pulled arms were worth.

    Args:
        world: The world.
        bandit: A fresh one, whose arms are the texts of the world's indices.
        scenario: Of the world.
        budget: Dollars; arms that cost more on average than is left are not available. None is no limit.
        seed: Of the bandit's draws.
        told: Whether the bandit hears of costs and the budget.
    """
    rng = generator(seed, 1, "choices")
    names = [str(arm) for arm in range(len(world.costs))]
    everything = frozenset(names)
    waiting: list[tuple[int, int]] = []
    earned, spent = 0.0, 0.0
    worth, costs = world.worth.tolist(), world.costs.tolist()
    for step in range(STEPS):
        situation = Situation(Counter([names[arm] for _, arm in waiting]))
        if budget is not None:
            left = max(budget - spent - sum([costs[arm] for _, arm in waiting]), 0.0)
            affordable = (
                everything if left >= max(costs) else frozenset(names[arm] for arm, cost in enumerate(costs) if cost <= left)
            )
            situation = Situation(situation.in_flight, affordable, left / (STEPS - step) if told else None)
        arm = int(bandit.choose(rng, situation))
        earned += worth[step][arm]
        waiting.append((step, arm))
        if len(waiting) == scenario.in_flight:
            begun, done = waiting.pop(0)
            cost = world.cost(begun, done)
            spent += cost
            bandit.update(names[done], world.reward(begun, done), cost if told else 0.0)
    return earned


class Trial(NamedTuple):
    """One bandit in one scenario, over seeds."""

    config: BanditConfig
    scenario: str
    budgeted: bool
    seeds: range
    told: bool = True


def regrets(trial: Trial) -> np.ndarray:
    """Percent of what was attainable that a trial's bandit did not get, per seed."""
    missed = []
    for seed in trial.seeds:
        world = make_world(trial.scenario, seed)
        budget = budget_of(world) if trial.budgeted else None
        bandit = make_bandit([str(arm) for arm in range(len(world.costs))], trial.config)
        earned = play(world, bandit, SCENARIOS[trial.scenario], budget, seed, told=trial.told)
        missed.append(100 * (1 - earned / attainable(world, budget)))
    return np.array(missed)


def places() -> list[tuple[str, bool]]:
    """Scenarios without and with a budget."""
    return [(name, budgeted) for budgeted in (False, True) for name in SCENARIOS]


# Settings

GRIDS: Mapping[str, Mapping[str, Sequence[float]]] = {
    "ucb1": {"exploration": (0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.35)},
    "discounted-ucb": {"exploration": (0.02, 0.03, 0.05, 0.1), "discount": (0.98, 0.99, 0.995, 0.998)},
    "thompson-gaussian": {"exploration": (0.03, 0.05, 0.07, 0.1), "discount": (0.99, 0.995, 1.0)},
    "thompson-beta": {"exploration": (0.05, 0.1, 0.3, 1.0), "discount": (0.99, 0.995, 1.0)},
    "exp3": {"exploration": (0.1, 0.3, 0.6), "discount": (0.99, 1.0)},
    "asymmetric": {"exploration": (0.03, 0.1, 0.3, 1.0), "discount": (0.95, 0.99)},
}


def grid(name: str) -> list[BanditConfig]:
    """All settings of a bandit that are tried."""
    explorations, discounts = GRIDS[name]["exploration"], GRIDS[name].get("discount", (None,))
    return [BanditConfig(name, exploration, discount) for exploration, discount in itertools.product(explorations, discounts)]


def tune(names: Iterable[str], seeds: range, processes: int) -> None:
    """Prints the mean regret of every setting over all scenarios, best first, per bandit."""
    for name in names:
        configs = grid(name)
        trials = [Trial(config, *place, seeds) for config in configs for place in places()]
        with multiprocessing.Pool(processes) as pool:
            means = np.reshape([missed.mean() for missed in pool.map(regrets, trials, chunksize=1)], (len(configs), -1))
        for row in np.argsort(means.mean(axis=1)):
            settings = " ".join(f"{setting}={configs[row].number(setting)}" for setting in GRIDS[name])
            half = len(SCENARIOS)
            print(f"{name:18} {settings:36} all {means[row].mean():5.1f}  free {means[row][:half].mean():5.1f}  ", end="")
            print(f"budget {means[row][half:].mean():5.1f}", flush=True)


# The table


def contenders() -> dict[str, tuple[BanditConfig, bool]]:
    """Rows of the table: every built-in as it is by default, and two that hear nothing of costs and the budget."""
    rows = {name: (BanditConfig(name=name), True) for name in BANDITS if name != "fixed"}
    rows["uniform (fixed)"] = (BanditConfig(name="fixed"), True)
    for name in (BanditConfig().name, "asymmetric"):
        rows[f"{name}, told no costs"] = (BanditConfig(name=name), False)
    return rows


def table(seeds: range, processes: int) -> None:
    """Prints regret per bandit and scenario, with standard errors, and mean ranks of the built-ins."""
    rows = contenders()
    trials = [Trial(config, *place, seeds, told) for config, told in rows.values() for place in places()]
    with multiprocessing.Pool(processes) as pool:
        results = pool.map(regrets, trials, chunksize=1)
    means = np.reshape([missed.mean() for missed in results], (len(rows), len(places())))
    errors = np.reshape([missed.std(ddof=1) / np.sqrt(len(missed)) for missed in results], means.shape)
    ranks = (means[:, None, :] > means[None, : len(BANDITS), :]).sum(axis=1).mean(axis=1) + 1
    for half, title in enumerate(("No budget", "Budget")):
        print(f"\n{title}: percent of the attainable reward that was missed, mean ± standard error of {len(seeds)} seeds\n")
        print(f"| bandit | {' | '.join(SCENARIOS)} | mean |")
        print(f"| --- |{' --- |' * (len(SCENARIOS) + 1)}")
        columns = slice(half * len(SCENARIOS), (half + 1) * len(SCENARIOS))
        for name, mean, error in zip(rows, means[:, columns], errors[:, columns], strict=True):
            cells = [f"{value:.1f} ± {spread:.1f}" for value, spread in zip(mean, error, strict=True)]
            print(f"| {name} | {' | '.join(cells)} | {mean.mean():.1f} |")
    print("\nMean rank among the built-ins, over all columns of both tables\n")
    for row in np.argsort(ranks[: len(BANDITS)]):
        print(f"{ranks[row]:.2f}  {list(rows)[row]}  (mean regret {means[row].mean():.1f} %)")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--tune", nargs="*", metavar="NAME", help="try settings of these bandits (none named: of all) on seeds from 1000"
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.tune is None:
        table(REPORTED[: options.seeds], options.processes)
    else:
        tune(options.tune or GRIDS, TUNED[: options.seeds], options.processes)


if __name__ == "__main__":
    main()
