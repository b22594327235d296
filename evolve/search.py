"""What a run has learnt so far: population, bandit, known programs and the best one.

A fold over the run's additions: the loop feeds it each finished step, resuming feeds it the recorded ones, and both go
through `Search.settle`, so there is no second way for state to come about.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from evolve.archive.novelty import NoveltyScreen
from evolve.archive.population import Member, Population
from evolve.archive.records import Addition, Plan, Screen
from evolve.bandits import Bandit, PercentileReward, Situation
from evolve.program import Direction, Outcome
from evolve.progress import Progress
from evolve.rng import generator

#: Failed children of one parent that prompts may show, and parents of which they are remembered.
_FAILURES = 3
_PARENTS = 4096


@dataclass(frozen=True, slots=True)
class Finished:
    """A step whose result is known and not yet added.

    Attributes:
        plan: What it set out to do; None for a starting program.
        outcome: How it ended.
        program: Identifier of its program; None when no attempt made one.
        fingerprint: Of its program.
        objective: Of its program, when it has one.
        size: Characters of its program's source.
        reused: Whether the evaluation is a known program's.
        cost_usd: What the step's calls cost.
        traits: What the population asks for of its program.
        start: Its number where there is no plan.
    """

    plan: Plan | None
    outcome: Outcome
    program: str | None = None
    fingerprint: str = ""
    objective: float | None = None
    size: int = 0
    reused: bool = False
    cost_usd: float = 0.0
    traits: Mapping[str, float] = field(default_factory=dict)
    start: int = 0

    @property
    def step(self) -> int:
        """Its number; the initial program's is 0, those of further starting programs are below."""
        return self.start if self.plan is None else self.plan.step


@dataclass(frozen=True, slots=True)
class Best:
    """The best program so far."""

    program: str
    step: int
    objective: float


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What the prompts of a search hold of the steps before, beside parents and inspirations, which its population chooses.

    Attributes:
        failures: Failed children of the parent, the latest first, at most; `evolve.prompts.config.PromptConfig` may show fewer.
        run: Whether they hold what is known of the run as a whole: notes, how the parent stands to the best program, that a child
            repeats another step's program, and that another approach is wanted where nothing better is found.
    """

    failures: int = _FAILURES
    run: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.failures <= _FAILURES:
            raise ValueError(f"failures must lie between 0 and {_FAILURES}, got {self.failures}")


class Conditions(NamedTuple):
    """What a plan reckons with beside the additions; recorded with it.

    Attributes:
        unavailable: Arms that cannot be pulled now.
        usd_per_step: Dollars left per step left; None without a dollar budget.
        strongest: Arms that a new approach may be asked of, alike in strength; empty where nobody can be asked. Of them only the
            one that is asked is recorded.
    """

    unavailable: tuple[str, ...] = ()
    usd_per_step: float | None = None
    strongest: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Conditions:
        """Returns what a recorded plan reckoned with."""
        return cls(plan.unavailable, plan.usd_per_step, (plan.arm,) if plan.new_approach else ())


class Search:
    """Chooses what to do next from everything that was added, and nothing else."""

    def __init__(
        self,
        *,
        seed: int,
        direction: Direction,
        population: Population,
        bandit: Bandit,
        reward: PercentileReward,
        screen: NoveltyScreen,
        progress: Progress | None = None,
        explores: bool = False,
        hindsight: Hindsight = Hindsight(),
    ) -> None:
        """Puts the parts together, all of them empty.

        Args:
            seed: The run's.
            direction: Whether more of the objective is better.
            population: What parents are drawn from.
            bandit: Chooses arms.
            reward: Makes rewards of improvements.
            screen: Finds copies.
            progress: Counts steps without a new best; None for one that is told nothing special.
            explores: Whether the choice of parents is told how long the search has stood still.
            hindsight: What prompts hold of the steps before.
        """
        self.hindsight = hindsight
        self._seed = seed
        self._direction = direction
        self._population = population
        self._bandit = bandit
        self._reward = reward
        self._screen = screen
        self._progress = progress or Progress()
        self._explores = explores
        self._earned: defaultdict[str, float] = defaultdict(float)
        self._fitness: dict[str, float] = {}
        self._failures: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._in_flight: Counter[str] = Counter()
        self.version = -1
        self.best: Best | None = None
        self._bests: list[Best | None] = []

    @property
    def traits(self) -> frozenset[str]:
        """Names of the traits that the population places programs by."""
        return self._population.traits

    @property
    def embeds(self) -> bool:
        """Whether the population compares programs by their embeddings."""
        return self._population.embeds

    def begin(self, starts: int) -> None:
        """Says how many starting programs are to be settled first, the last of which makes version 0."""
        self.version = -starts

    def best_at(self, version: int) -> Best | None:
        """The best program of the archive's version; None before any has scored."""
        return self._bests[version]

    def beats_best_at(self, version: int, objective: float) -> bool:
        """Whether an objective is better than the best one of the archive's version."""
        best = self._bests[version]
        return best is None or self._direction.oriented(objective) > self._direction.oriented(best.objective)

    def plan(self, step: int, conditions: Conditions = Conditions()) -> Plan:
        """Plans a step from the additions so far.

        Raises:
            ValueError: If no arm is available.
        """
        rng = generator(self._seed, step, "plan")
        choice = self._population.choose(step, rng, self._progress.exploration if self._explores else 0.0)
        new_approach = self.hindsight.run and bool(conditions.strongest) and self._progress.wants_new_approach(step)
        if new_approach:
            arm = self._strongest(conditions.strongest)
        else:
            available = frozenset(self._bandit.pulls()).difference(conditions.unavailable)
            arm = self._bandit.choose(rng, Situation(self._in_flight, available, conditions.usd_per_step))
        plan = Plan(
            step=step,
            version=self.version,
            island=choice.island,
            parent=choice.parent,
            inspirations=choice.inspirations,
            arm=arm,
            failures=self._failures.get(choice.parent, ())[: self.hindsight.failures],
            unavailable=conditions.unavailable,
            usd_per_step=conditions.usd_per_step,
            new_approach=new_approach,
        )
        self.planned(plan)
        return plan

    def planned(self, plan: Plan) -> None:
        """Takes note of a plan that an earlier session made."""
        self._in_flight[plan.arm] += 1
        if plan.new_approach:
            self._progress.asked(plan.step)

    def _strongest(self, arms: Sequence[str]) -> str:
        """Picks the arm with the highest mean reward so far, one never pulled before all others; of several the first."""
        pulls = self._bandit.pulls()
        return max(arms, key=lambda arm: self._earned[arm] / pulls[arm] if pulls[arm] else float("inf"))

    def screen(self, step: int, attempt: int, version: int, fingerprint: str, embedding: np.ndarray | None) -> Screen:
        """Compares a child with the programs known at a version."""
        return self._screen.check(step, attempt, version, fingerprint, embedding)

    def tells(self, plan: Plan, repeated: str | None) -> bool:
        """Whether a step is told which program its child repeats; what its parent is, it knows anyhow."""
        return self.hindsight.run or repeated == plan.parent

    def settle(self, finished: Finished, embedding: np.ndarray | None = None) -> Addition:
        """Adds a finished step and says what it earned.

        Args:
            finished: The step.
            embedding: Of its program, for later screens; None where none is kept.
        """
        self.version += 1
        plan = finished.plan
        fitness = None if finished.objective is None else self._direction.oriented(finished.objective)
        # A copy of a known program is no news, whatever it scored.
        news = finished.program is not None and not finished.reused
        reward = 0.0
        if plan is not None:
            self._in_flight[plan.arm] -= 1
            reward = self._reward.of(fitness - self._fitness[plan.parent] if news and fitness is not None else None)
            self._bandit.update(plan.arm, reward, finished.cost_usd)
            self._earned[plan.arm] += reward
            # An evaluator that failed says so with lines of its own source, which no prompt may show.
            if news and fitness is None and finished.outcome is not Outcome.EVALUATOR_FAILED:
                self._remember_failure(plan.parent, finished.program)
        if news and finished.program is not None:
            self._screen.add(self.version, finished.program, finished.fingerprint, embedding)
        self._population.settle(plan.parent if plan else None, self._member(finished, fitness, embedding) if news else None)
        improved = news and self._improve(finished, fitness)
        if plan is not None:
            self._progress.settle(improved=improved)
        if self.version >= 0:
            self._bests.append(self.best)
        return Addition(self.version, finished.step, finished.outcome, finished.program, reward, improved, finished.traits)

    def _remember_failure(self, parent: str, child: str | None) -> None:
        """Keeps the latest failed children of the latest parents that had any."""
        if child is None:
            return
        self._failures[parent] = (child, *self._failures.get(parent, ()))[:_FAILURES]
        self._failures.move_to_end(parent)
        if len(self._failures) > _PARENTS:
            self._failures.popitem(last=False)

    def _member(self, finished: Finished, fitness: float | None, embedding: np.ndarray | None) -> Member | None:
        if fitness is None or finished.program is None:
            return None
        self._fitness[finished.program] = fitness
        plan = finished.plan
        return Member(
            program_id=finished.program,
            step=finished.step,
            fitness=fitness,
            size=finished.size,
            parent=plan.parent if plan else None,
            island=plan.island if plan else None,
            new_approach=plan is not None and plan.new_approach,
            traits=finished.traits,
            embedding=embedding if self._population.embeds else None,
        )

    def _improve(self, finished: Finished, fitness: float | None) -> bool:
        if fitness is None or finished.program is None or finished.objective is None:
            return False
        if self.best is not None and fitness <= self._direction.oriented(self.best.objective):
            return False
        self.best = Best(finished.program, finished.step, finished.objective)
        return True
