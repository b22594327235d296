"""Scores policies by how long steps take under their placements: the functions of an ``evaluate.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from evolve.evaluators.base import IsolatedProgram, Score
from evolve.evaluators.placement.catalog import source
from evolve.evaluators.placement.examined import examine_program
from evolve.evaluators.placement.figures import draw_gaps, draw_gpu_loads
from evolve.evaluators.placement.policy import LocalPolicy, ProgramPolicy
from evolve.evaluators.placement.problem import Problem, ProblemConfig
from evolve.evaluators.placement.report import Trial, feedback, metrics_of
from evolve.evaluators.placement.scenario import Scenario, located
from evolve.evaluators.placement.simulator import replay, share_of
from evolve.evaluators.statistics import mean, standard_error
from evolve.intervals import mean_interval

#: What finished results are held against.
REFERENCE = ("deepseek_hierarchical", "last_window", "plan")

#: In a search, policies are asked with foresight in every so many windows, which costs another plan each.
_FORESIGHT_EVERY = 4


class StepLatency:
    """Scores programs that define ``plan(history, tokens, current, cluster)`` by ideal over simulated step time.

    Where they are asked to share tokens among replicas, they define ``route(load, slots, cluster)`` as well.
    """

    def __init__(self, config: ProblemConfig, folder: Path) -> None:
        """Prepares.

        Args:
            config: Traces, machines and rules.
            folder: The task's.
        """
        self.problem = Problem(config, folder)

    @cached_property
    def searched(self) -> list[Scenario]:
        """What searches are scored by."""
        return self.problem.scenarios("search", range(self.problem.config.searched))

    def smoke(self, program: IsolatedProgram) -> None:
        """Asks for one placement, and how it shares tokens where it has to say."""
        scenario = self.searched[0]
        policy = ProgramPolicy(program, scenario.facts)
        first = next(scenario.moments)
        with located(scenario, first.window):
            slots = scenario.checked(policy.plan(first.history, first.seen, scenario.start))
            share_of(policy, scenario, first, slots)

    def evaluate(self, program: IsolatedProgram) -> Score:
        """Replays the traces of searches."""
        return _score(_trials(program, self.searched, _FORESIGHT_EVERY))

    def paired(self, program: IsolatedProgram, seed: int) -> Score:
        """Replays traces that no search uses, other ones for every seed."""
        scenarios = self.problem.scenarios("validation", range(seed, seed + 1))
        return _score(_trials(program, scenarios, 1))

    def holdout(self, program: IsolatedProgram) -> Score:
        """Replays the hidden traces, beside the reference."""
        scenarios = self.problem.scenarios("hidden", range(self.problem.config.hidden))
        trials = _trials(program, scenarios, _FORESIGHT_EVERY)
        gains = [trial.replay.ratio - _reference(trial.scenario) for trial in trials]
        score = _score(trials)
        told = f"Ratio above that of DeepSeek's hierarchical policy on the same traces: {_interval(gains)}"
        return replace(score, metrics={**score.metrics, "gain_on_deepseek": mean(gains)}, feedback=f"{told}\n{score.feedback}")


def _trials(program: IsolatedProgram, scenarios: Sequence[Scenario], every: int) -> list[Trial]:
    replays = [(scenario, replay(ProgramPolicy(program, scenario.facts), scenario)) for scenario in scenarios]
    examinations = examine_program(program, replays, every)
    return [Trial(scenario, replayed, found) for (scenario, replayed), found in zip(replays, examinations, strict=True)]


def _reference(scenario: Scenario) -> float:
    # It does not say how tokens are shared, and has them shared evenly.
    scenario = replace(scenario, rules=replace(scenario.rules, routed=False))
    return replay(LocalPolicy(source(*REFERENCE), scenario.facts), scenario).ratio


def _score(trials: Sequence[Trial]) -> Score:
    ratios = {trial.scenario.trace.name: trial.replay.ratio for trial in trials}
    return Score(
        mean(list(ratios.values())),
        metrics=metrics_of(trials),
        feedback=feedback(trials),
        figure=lambda path: _draw_loads(path, trials[0]),
        instances=ratios,
        artifacts={"gap.png": lambda path: _draw_gap(path, trials[0])},
    )


def _draw_loads(path: str, trial: Trial) -> None:
    """Draws the last window, under no plan and under the policy's."""
    scenario = trial.scenario
    place = trial.examination.windows.index(len(trial.replay.slots) - 1)
    last = list(scenario.moments)[-1]
    title = f"Loads of GPUs in the last window ({scenario.trace.name})"
    draw_gpu_loads(
        path, scenario.unplanned(scenario.load_of(last)), trial.replay.gpu_load[-1], trial.examination.bound[place], title
    )


def _draw_gap(path: str, trial: Trial) -> None:
    forecast, packing = trial.examination.gaps.by_window()
    windows = trial.examination.windows
    draw_gaps(
        path, forecast, packing, windows=windows, title=f"What keeps the busiest GPU above the bound ({trial.scenario.trace.name})"
    )


def _interval(gains: Sequence[float]) -> str:
    error = standard_error(gains)
    if error is None:
        return f"{gains[0]:+.4f} (one trace)"
    interval = mean_interval(mean(gains), error, len(gains))
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}] (95 %, {len(gains)} traces)"
