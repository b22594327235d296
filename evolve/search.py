"""What a run has learnt so far: population, bandit, known programs and the best one.

A fold over the run's additions: the loop feeds it each finished step, resuming feeds it the recorded ones, and both go
through `Search.settle`, so there is no second way for state to come about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evolve.archive.novelty import NoveltyScreen
from evolve.archive.population import Member, Population
from evolve.archive.records import Addition, Plan, Screen
from evolve.bandits import Bandit, PercentileReward
from evolve.program import Direction, Outcome
from evolve.rng import generator


@dataclass(frozen=True, slots=True)
class Finished:
    """A step whose result is known and not yet added.

    Attributes:
        plan: What it set out to do; None for the initial program.
        outcome: How it ended.
        program: Identifier of its program; None when no attempt made one.
        fingerprint: Of its program.
        objective: Of its program, when it has one.
        size: Characters of its program's source.
        reused: Whether the evaluation is a known program's.
    """

    plan: Plan | None
    outcome: Outcome
    program: str | None = None
    fingerprint: str = ""
    objective: float | None = None
    size: int = 0
    reused: bool = False

    @property
    def step(self) -> int:
        """Its number; the initial program's is 0."""
        return 0 if self.plan is None else self.plan.step


@dataclass(frozen=True, slots=True)
class Best:
    """The best program so far."""

    program: str
    step: int
    objective: float


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
    ) -> None:
        self._seed = seed
        self._direction = direction
        self._population = population
        self._bandit = bandit
        self._reward = reward
        self._screen = screen
        self._fitness: dict[str, float] = {}
        self.version = -1
        self.best: Best | None = None
        self._bests: list[float | None] = []

    def beats_best_at(self, version: int, objective: float) -> bool:
        """Whether an objective is better than the best one of the archive's version."""
        best = self._bests[version]
        return best is None or self._direction.oriented(objective) > self._direction.oriented(best)

    def plan(self, step: int) -> Plan:
        """Plans a step from the additions so far."""
        rng = generator(self._seed, step, "plan")
        choice = self._population.choose(step, rng)
        return Plan(step, self.version, choice.island, choice.parent, choice.inspirations, self._bandit.choose(rng))

    def screen(self, step: int, attempt: int, version: int, fingerprint: str, embedding: np.ndarray | None) -> Screen:
        """Compares a child with the programs known at a version."""
        return self._screen.check(step, attempt, version, fingerprint, embedding)

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
            reward = self._reward.of(fitness - self._fitness[plan.parent] if news and fitness is not None else None)
            self._bandit.update(plan.arm, reward)
        if news and finished.program is not None:
            self._screen.add(self.version, finished.program, finished.fingerprint, embedding)
        self._population.settle(plan.parent if plan else None, self._member(finished, fitness) if news else None)
        improved = news and self._improve(finished, fitness)
        self._bests.append(self.best.objective if self.best is not None else None)
        return Addition(self.version, finished.step, finished.outcome, finished.program, reward, improved)

    def _member(self, finished: Finished, fitness: float | None) -> Member | None:
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
        )

    def _improve(self, finished: Finished, fitness: float | None) -> bool:
        if fitness is None or finished.program is None or finished.objective is None:
            return False
        if self.best is not None and fitness <= self._direction.oriented(self.best.objective):
            return False
        self.best = Best(finished.program, finished.step, finished.objective)
        return True
