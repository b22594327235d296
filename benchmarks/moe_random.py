"""Random search over the constants of published methods: what evolution has to beat with as many evaluations."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from moe_seeds import REFERENCE, Found, ordinary, reference_of
from moe_trials import Trained, Trial, label

from evolve.evaluators.moe.fitness import Reference, constrained
from evolve.evaluators.moe.methods import catalog
from evolve.evaluators.moe.paired import Verdict, judge
from evolve.evaluators.statistics import mean
from evolve.rng import generator

#: Of an evaluation, as in the tasks.
SEARCH_SEEDS = (0, 1, 2)

#: What scores less with the first seed is not trained with the others, as in the tasks.
SCREEN = -6.0

Run = Callable[[Iterable[Trial]], Mapping[Trial, Trained]]
"""Trains what is asked for."""


class Draw(NamedTuple):
    """A method with constants."""

    method: str
    constants: tuple[tuple[str, float], ...]

    def trial(self, size: str, seed: int) -> Trial:
        """The training with a seed."""
        return Trial(self.method, self.constants, size, seed)


class Searched(NamedTuple):
    """What came of a search.

    Attributes:
        draws: In the order drawn.
        fitness: Of each, mean over seeds; of a hopeless one with the first seed alone, and -inf where a training failed.
        trained: Trainings done for it.
    """

    draws: list[Draw]
    fitness: list[float]
    trained: int

    @property
    def best(self) -> Draw:
        """The first of those with the highest fitness."""
        return self.draws[max(range(len(self.draws)), key=lambda place: self.fitness[place])]


def tunable(method: str) -> dict[str, tuple[float, float]]:
    """Reads which constants a fair comparison tunes, and their ranges; the method is not run."""
    for node in ast.parse(catalog.source_of(method)).body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == "TUNABLE":
            return dict(ast.literal_eval(node.value))
    raise ValueError(f"{method} has no TUNABLE; it is a dict of ranges by constant, empty where there is nothing to tune")


def draws(count: int, search_seed: int) -> list[Draw]:
    """Draws methods, each as likely as another, and their constants log-uniformly; a longer search begins with a shorter one."""
    ranges = {name: tunable(name) for name in ordinary()}
    names = [name for name, wanted in ranges.items() if wanted]
    found = []
    for number in range(count):
        rng = generator(search_seed, number, "benchmarks.moe/random")
        name = names[rng.integers(len(names))]
        constants = ((key, math.exp(rng.uniform(math.log(low), math.log(high)))) for key, (low, high) in ranges[name].items())
        found.append(Draw(name, tuple(sorted(constants))))
    return found


def search(wanted: Sequence[Draw], size: str, reference: Reference, run: Run) -> Searched:
    """Evaluates draws by constrained fitness."""
    first, *others = SEARCH_SEEDS
    trained = dict(run(draw.trial(size, first) for draw in wanted))
    hopeful = [draw for draw in wanted if _value(trained[draw.trial(size, first)], reference) >= SCREEN]
    trained |= run(draw.trial(size, seed) for draw in hopeful for seed in others)
    fitness = []
    for draw in wanted:
        trials = [trained[trial] for seed in SEARCH_SEEDS if (trial := draw.trial(size, seed)) in trained]
        fitness.append(
            mean([_value(item, reference) for item in trials]) if all(not item.failure for item in trials) else -math.inf
        )
    return Searched(list(wanted), fitness, len(trained))


def _value(item: Trained, reference: Reference) -> float:
    return -math.inf if item.failure else constrained(item.summary, reference, item.trial.seed)


def search_report(found: Searched) -> Iterator[str]:
    """Writes how the best fitness rose, and the best few."""
    yield f"{len(found.draws)} evaluations, {found.trained} trainings.\n"
    yield "| evaluations | best fitness so far, sigma | which |\n|---|---|---|"
    for count in _milestones(len(found.draws)):
        value, place = max((value, -place) for place, value in enumerate(found.fitness[:count]))
        yield f"| {count} | {value:+.3f} | {label(*found.draws[-place])} |"
    yield "\n| the best | fitness, sigma |\n|---|---|"
    for place in sorted(range(len(found.draws)), key=lambda place: -found.fitness[place])[:10]:
        yield f"| {label(*found.draws[place])} | {found.fitness[place]:+.3f} |"


def _milestones(count: int) -> list[int]:
    """1, 2, 5, 10, 20, 50 and so on, and the last."""
    rounds = [step * 10**power for power in range(len(str(count))) for step in (1, 2, 5)]
    return [*(number for number in rounds if number < count), count]


def fresh_report(best: Draw, tuned: Mapping[int, Trained], found: Found) -> Iterator[str]:
    """Writes how the best of a search compares with methods as they are, on seeds that the search never saw.

    Args:
        best: Which it is.
        tuned: Its trainings by seed.
        found: Trainings of the others with the same seeds.
    """
    reference = reference_of(found)
    failed = [str(item.trial) for item in tuned.values() if item.failure]
    if failed:
        yield f"The best, {label(*best)}, fails with fresh seeds: {', '.join(failed)}."
        return
    summaries = {seed: item.summary for seed, item in tuned.items()}
    value = mean([constrained(summary, reference, seed) for seed, summary in summaries.items()])
    yield f"With {len(tuned)} fresh seeds, {label(*best)} has a fitness of {value:+.3f} sigma ({REFERENCE} has 0); beside methods"
    yield "with their own constants, of which only those that trained with every seed:\n"
    yield "| baseline | CE less the baseline's [95 %] | p (Holm) | L1 lower by | p (Holm) | beats it |\n|---|---|---|---|---|---|"
    baselines = {
        name: {seed: item.summary for seed, item in items.items()} for name, items in found.items() if items.keys() == tuned.keys()
    }
    for verdict in judge(summaries, baselines, reference.sigma):
        yield _verdict_row(verdict)


def _verdict_row(verdict: Verdict) -> str:
    interval = verdict.cross_entropy
    return (
        f"| {verdict.baseline} | {interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}] "
        f"| {verdict.predicts_better.adjusted:.3f} | {verdict.reduction:.0%} | {verdict.balances_better.adjusted:.3f} "
        f"| {'yes' if verdict.beats else 'no'} |"
    )
