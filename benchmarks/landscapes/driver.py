"""Drives one `Search` through a run on a landscape: what `evolve.loop` and `evolve.stages` do, without sandbox, archive or threads.

Order is strict: the plan and the screens of step *i* see exactly the additions of steps up to *i - lag*, and additions come in
step order, as in `evolve.ordering.Strict`. A run is a function of landscape, configuration and seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.landscapes.base import Landscape
from benchmarks.landscapes.scripted import Asked, Habits, child
from benchmarks.landscapes.text import PATH, read
from evolve.archive.novelty import fingerprint
from evolve.archive.records import Plan, Verdict
from evolve.config import RunConfig, make_embed
from evolve.intervals import Interval, interval_of
from evolve.mutation import MutationFailed
from evolve.ordering import Strict
from evolve.program import Evaluation, Files, Outcome, Program
from evolve.rng import generator
from evolve.search import Conditions, Finished, Search
from evolve.stages import finished_with
from evolve.strategies import make_search
from evolve.verifying import Verification, pooled


@dataclass(frozen=True, slots=True)
class Trace:
    """What came of a run.

    Attributes:
        landscape: Its name.
        seed: Of the run.
        believed: ``(steps + 1,)`` objective, without noise, of the program that the search held to be the best after each
            step; the initial program's comes first. With noise it may get worse.
        best: ``(steps + 1,)`` the best objective, without noise, of all programs evaluated so far.
        reported: ``(steps + 1,)`` objective of the same programs as it was measured.
        spent: ``(steps + 1,)`` evaluations so far, further ones of a program among them; those after the last step are not.
        interval: Of the last program's mean, as it was measured afresh when the run was over; None without noise.
        evaluations: Programs that were scored, the initial one among them.
        verifications: Further evaluations of programs that would have been the best.
        reevaluations: Those of them whose fingerprint had been scored before: the first one was in flight when the second was
            screened.
        repeats: Those of them that do what a program scored before does, call by call, whatever they look like.
        copies: Steps that ended with a copy of a known program, whose score was reused.
        rejected: Attempts that a screen turned down, copies and near ones.
        failed: Evaluations without an objective.
        edits_failed: Attempts whose edit could not be applied.
        pulls: By arm.
    """

    landscape: str
    seed: int
    believed: np.ndarray
    best: np.ndarray
    reported: np.ndarray
    spent: np.ndarray
    interval: Interval | None
    evaluations: int
    verifications: int
    reevaluations: int
    repeats: int
    copies: int
    rejected: int
    failed: int
    edits_failed: int
    pulls: Mapping[str, int]


def reached(trace: Trace, landscape: Landscape) -> int | None:
    """Returns the first step after which the program held to be the best is at the mark; None when there is none."""
    return next((step for step, objective in enumerate(trace.believed) if landscape.passes(float(objective))), None)


def simulate(
    landscape: Landscape,
    config: RunConfig,
    *,
    seed: int,
    steps: int,
    lag: int = 4,
    habits: Sequence[Habits] | None = None,
) -> Trace:
    """Runs a strategy on a landscape.

    Args:
        landscape: Where.
        config: Names the strategy and sets its parts up; its arms, seed, steps and lag are replaced.
        seed: Of everything random.
        steps: Attempts to make a child.
        lag: Step *i* sees the results of steps up to *i - lag*.
        habits: The arms; None takes the landscape's.
    """
    made = replace(config, seed=seed, steps=steps, lag=lag)
    arms = landscape.habits if habits is None else tuple(habits)
    return _Simulation(landscape, made, arms).run()


class _Child(NamedTuple):
    """A child that was screened."""

    program: Program
    fingerprint: str
    verdict: Verdict
    nearest: str | None
    embedding: np.ndarray | None


class _Scored(NamedTuple):
    """A program that was added, as it was measured and in truth."""

    program: Program
    evaluation: Evaluation
    truth: float | None


class _Simulation:
    """One run."""

    def __init__(self, landscape: Landscape, config: RunConfig, habits: Sequence[Habits]) -> None:
        self._landscape = landscape
        self._config = config
        self._habits = {habit.name: habit for habit in habits}
        task = landscape.task()
        self._objective = task.objective
        self._search: Search = make_search(task, config, list(self._habits))
        self._embed = make_embed(config, self._search)
        # Every arm is the same scripted model, so a new approach may be asked of any.
        self._conditions = Conditions(strongest=tuple(self._habits))
        self._order = Strict(config.lag)
        self._programs: dict[str, _Scored] = {}
        self._fingerprints: set[str] = set()
        self._behaviours: set[object] = set()
        self._counts: Counter[str] = Counter()
        self._pulls: Counter[str] = Counter()
        self._best: float | None = None

    def run(self) -> Trace:
        believed: list[_Scored] = []
        spent: list[int] = []
        best: list[float | None] = []
        waiting: list[Plan] = []
        self._start()
        for step in range(self._config.steps + 1):
            if step:
                self._take(waiting.pop(0))
            believed.append(self._believed())
            best.append(self._best)
            spent.append(self._counts["evaluations"] + self._counts["verifications"])
            while (following := step + len(waiting) + 1) <= self._config.steps and self._order.may_plan(following, step):
                waiting.append(self._search.plan(following, self._conditions))
        return Trace(
            landscape=self._landscape.name,
            seed=self._config.seed,
            believed=np.array([scored.truth for scored in believed], dtype=float),
            best=np.array(best, dtype=float),
            reported=np.array([scored.evaluation.objective for scored in believed], dtype=float),
            spent=np.array(spent),
            interval=self._afresh(believed[-1]),
            evaluations=self._counts["evaluations"],
            verifications=self._counts["verifications"],
            reevaluations=self._counts["reevaluations"],
            repeats=self._counts["repeats"],
            copies=self._counts["copies"],
            rejected=self._counts["rejected"],
            failed=self._counts["failed"],
            edits_failed=self._counts["edits_failed"],
            pulls={name: self._pulls[name] for name in self._habits},
        )

    def _believed(self) -> _Scored:
        best = self._search.best
        if best is None:
            raise ValueError(f"the initial program of landscape {self._landscape.name} does not score")
        return self._programs[best.program]

    def _start(self) -> None:
        program = Program.make(0, self._landscape.files)
        self._add(None, _Child(program, fingerprint(program.files), Verdict.NEW, None, self._embedding(program.files)))

    def _take(self, plan: Plan) -> None:
        """Takes one step from its plan to its addition."""
        self._pulls[plan.arm] += 1
        children = self._attempts(plan)
        if children and children[-1].verdict is Verdict.NEW:
            self._add(plan, children[-1])
            return
        copies = [made for made in children if made.verdict is Verdict.KNOWN]
        if not copies:
            self._search.settle(Finished(plan, Outcome.REJECTED if children else Outcome.EDIT_FAILED))
            return
        self._counts["copies"] += 1
        copy = copies[-1]
        known = self._programs[str(copy.nearest)]
        self._settle(plan, copy, replace(known.evaluation, reused_from=known.program.program_id))

    def _attempts(self, plan: Plan) -> list[_Child]:
        """Asks until a child is new, or attempts run out; the last of what is returned is the latest."""
        children: list[_Child] = []
        complaints = 0
        for attempt in range(self._config.stages.max_attempts):
            asked = Asked(self._text(plan.parent), tuple(map(self._text, plan.inspirations)), complaints, plan.new_approach)
            rng = generator(self._config.seed, plan.step, f"generate/{attempt}")
            try:
                text = child(self._habits[plan.arm], self._landscape.vocabulary, asked, rng)
            except MutationFailed:
                self._counts["edits_failed"] += 1
                complaints += 1
                continue
            children.append(self._screened(plan, attempt, text))
            if children[-1].verdict is Verdict.NEW:
                break
            self._counts["rejected"] += 1
            complaints += self._search.tells(plan, children[-1].nearest)
        return children

    def _text(self, program: str) -> str:
        return self._programs[program].program.files[PATH]

    def _screened(self, plan: Plan, attempt: int, text: str) -> _Child:
        program = Program.make(plan.step, {PATH: text}, (self._programs[plan.parent].program,))
        mark, embedding = fingerprint(program.files), self._embedding(program.files)
        version = max(plan.version, self._order.screen_version(plan.step, attempt, self._search.version))
        screen = self._search.screen(plan.step, attempt, version, mark, embedding)
        return _Child(program, mark, screen.verdict, screen.nearest, embedding)

    def _embedding(self, files: Files) -> np.ndarray | None:
        return None if self._embed is None else self._embed(files)

    def _add(self, plan: Plan | None, made: _Child) -> None:
        """Scores a new program and settles its step."""
        evaluation = self._evaluation(made.program, 0)
        truth = evaluation.objective
        if self._landscape.noise and truth is not None:
            truth = self._landscape.truth(made.program.files)
        self._note(truth)
        self._count(made, evaluation)
        evaluation = self._verified(plan, made.program, evaluation)
        self._programs[made.program.program_id] = _Scored(made.program, evaluation, truth)
        self._settle(plan, made, evaluation)

    def _evaluation(self, program: Program, number: int) -> Evaluation:
        rng = generator(self._config.seed, program.step, f"noise/{number}" if number else "noise")
        return self._landscape.score(program.files, rng)

    def _verified(self, plan: Plan | None, program: Program, first: Evaluation) -> Evaluation:
        """Evaluates a program that would be the best again, as a run does."""
        beats = (lambda _: True) if plan is None else partial(self._search.beats_best_at, plan.version)
        verification = Verification(first, self._objective, most=self._config.stages.most_evaluations, beats=beats)
        number = 0
        while verification.due:
            number += 1
            verification.take(self._evaluation(program, number))
        self._counts["verifications"] += number
        return verification.counts

    def _afresh(self, best: _Scored) -> Interval | None:
        """Measures the best program again when the run is over, as a run does (`evolve.closing`)."""
        n = self._config.stages.final_measurements
        if not n or not best.evaluation.standard_error:
            return None
        rngs = (generator(self._config.seed, number, "afresh") for number in range(n))
        return interval_of(pooled([self._landscape.score(best.program.files, rng) for rng in rngs]))

    def _note(self, truth: float | None) -> None:
        oriented = self._landscape.direction.oriented
        if truth is not None and (self._best is None or oriented(truth) > oriented(self._best)):
            self._best = truth

    def _count(self, made: _Child, evaluation: Evaluation) -> None:
        self._counts["evaluations"] += 1
        self._counts["reevaluations"] += made.fingerprint in self._fingerprints
        self._fingerprints.add(made.fingerprint)
        if not evaluation.ok:
            self._counts["failed"] += 1
            return
        behaviour = self._landscape.vocabulary.behaviour(read(made.program.files[PATH]))
        self._counts["repeats"] += behaviour in self._behaviours
        self._behaviours.add(behaviour)

    def _settle(self, plan: Plan | None, made: _Child, evaluation: Evaluation) -> None:
        finished = finished_with(plan, made.program, made.fingerprint, evaluation, self._search.traits)
        self._search.settle(finished, made.embedding)
