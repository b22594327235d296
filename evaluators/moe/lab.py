"""Scores programs that balance experts: what the ``evaluate.py`` of several tasks ``moe_*`` have in common.

A program is trained twice at the smallest size (does it run, does it repeat, does it look at single tokens only), then at the
task's size with one seed, and with more where that one was not hopeless. Every seed's result is compared with that of loss-free
balancing with the same seed. Finished results are trained with fresh seeds, in other shapes, twice as wide, and on text whose
domains change half-way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from evolve.errors import TaskError, nearest_hint
from evolve.evaluators.base import IsolatedProgram, Score, asked_again
from evolve.evaluators.moe import fitness, report
from evolve.evaluators.moe.calling import Completed, LocalMethod, Method, sandboxed
from evolve.evaluators.moe.figures import draw_loads
from evolve.evaluators.moe.fitness import Point
from evolve.evaluators.moe.guards import check_repeats
from evolve.evaluators.moe.methods import catalog
from evolve.evaluators.moe.reference import REFERENCES, WORST
from evolve.evaluators.moe.spec import SIZES, Size
from evolve.evaluators.moe.trace import save_trace
from evolve.evaluators.moe.trainer import Training, train
from evolve.evaluators.moe.vocabulary import HOOKS
from evolve.settings import build, read_toml

#: The method that results are compared with.
REFERENCE = "loss_free"

#: Seeds that no search ever uses.
FRESH = tuple(range(100, 110))

#: What a task may aim at; see `fitness`.
FITNESS = ("constrained", "frontier", "shinka")

#: Of text from one half of the domains, in the variant whose domains change half-way.
_SHIFT = 0.85


@dataclass(frozen=True, slots=True)
class LabConfig:
    """How a task measures; read from the task's ``lab.toml``.

    Attributes:
        size: Name of the size that programs are trained at.
        fitness: ``constrained``, ``frontier`` or ``shinka``; see `fitness`.
        unequal: Whether experts are of unequal cost.
        seeds: Of the trainings of one evaluation, the same for all programs.
        screen: A program whose first seed scores less than this is not trained with the others.
    """

    size: str = "nano"
    fitness: str = "constrained"
    unequal: bool = False
    seeds: tuple[int, ...] = (0, 1, 2)
    screen: float = -6.0

    def __post_init__(self) -> None:
        for name, value, known in (("size", self.size, list(SIZES)), ("fitness", self.fitness, list(FITNESS))):
            if value not in known:
                raise TaskError(f"lab.toml: {name} = {value!r}; {nearest_hint(value, known)}")
        if not self.seeds or min(self.seeds) < 0:
            raise TaskError(f"lab.toml: seeds must be integers >= 0, at least one, got {list(self.seeds)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise TaskError(f"lab.toml: a seed twice says nothing new: seeds must all differ, got {list(self.seeds)}")

    @classmethod
    def read(cls, path: Path) -> LabConfig:
        """Reads the file.

        Raises:
            ConfigError: If it is not TOML, has an unknown key or a value that none can be.
        """
        return build(cls, read_toml(path), path.name)


class Lab:
    """The functions of an ``evaluate.py``, for programs that may define some of the hooks."""

    def __init__(self, config: LabConfig, hooks: Sequence[str], fixed: Sequence[str] = ()) -> None:
        """Prepares.

        Args:
            config: How to measure.
            hooks: What programs may define.
            fixed: What is loss-free balancing's whatever the program; not so in `paired`, where methods are measured as published.

        Raises:
            TaskError: If the fitness needs a reference that there is not, or the size a GPU.
        """
        self.config = config
        self.hooks = tuple(hooks)
        self.fixed = tuple(fixed)
        self.size = _costed(SIZES[config.size], unequal=config.unequal)
        if self.size.training.device == "cuda" and not torch.cuda.is_available():
            raise TaskError(f"lab.toml: size {config.size!r} needs a GPU, and torch finds none here; choose a smaller size")
        self._check_reference(config.seeds)

    def smoke(self, program: IsolatedProgram) -> None:
        """Trains twice for a second: does it run, does it repeat?"""
        size = _costed(SIZES["smoke"], unequal=self.config.unequal)
        if self.size.model.active == 1:
            size = replace(size, model=replace(size.model, active=1))
        with _opened(program, self.hooks, [size], self.fixed) as hooks:
            check_repeats(hooks.method, size, seed=0, witness=hooks.witness)

    def evaluate(self, program: IsolatedProgram) -> Score:
        """Trains with the task's seeds; with the first one only, where that is hopeless."""
        with _opened(program, self.hooks, [self.size], self.fixed) as hooks:
            trials: list[Trial] = []
            for seed in self.config.seeds:
                trials.append(self._trial(hooks, seed))
                if trials[0].value < self.config.screen:
                    break
        return self._score(trials)

    def paired(self, program: IsolatedProgram, seed: int) -> Score:
        """Trains with one seed; the program may define any hook, which is how published methods are measured."""
        with _opened(program, tuple(HOOKS), [self.size]) as hooks:
            return self._score([self._trial(hooks, seed)])

    def holdout(self, program: IsolatedProgram) -> Score:
        """Trains with fresh seeds and in every variant; the fresh seeds are the objective."""
        variants = variants_of(self.size)
        values: list[float] = []
        metrics: dict[str, float] = {}
        lines = [f"Beside {REFERENCE} with the same seeds:"]
        with _opened(program, self.hooks, [self.size, *variants.values()], self.fixed) as hooks:
            for name, size, seeds in (("fresh", self.size, FRESH), *((name, size, FRESH[:1]) for name, size in variants.items())):
                trainings = {seed: hooks.train(size, seed) for seed in seeds}
                pair = _side_by_side(trainings, size, unequal=self.config.unequal)
                if name == "fresh":
                    values = pair.values if self.config.fitness == "constrained" else self._values(hooks, trainings)
                metrics |= {f"{name}_{key}": value for key, value in pair.differences.items()}
                lines.append(f"{name}: {pair.told}")
        return Score(values=values, metrics=metrics, feedback="\n".join(lines))

    def _check_reference(self, seeds: Sequence[int]) -> None:
        """Sees to it that nobody trains for minutes to learn that the result cannot be valued."""
        reference = REFERENCES.get((self.size.name, self.config.unequal))
        known = sorted(reference.cross_entropy) if reference is not None else []
        missing = [seed for seed in seeds if seed not in known]
        if self.config.fitness == "constrained" and missing:
            experts = " and experts of unequal cost" if self.config.unequal else ""
            there = f"one with seeds {', '.join(map(str, known))}" if known else "none at all"
            wanted = f"a reference of size {self.size.name}{experts} with seed {missing[0]}"
            raise TaskError(
                f"fitness 'constrained' needs {wanted}; there is {there}; "
                "choose other seeds, another size, or the fitness 'frontier' or 'shinka', which need none"
            )

    def _trial(self, hooks: _Hooks, seed: int) -> Trial:
        """Trains with one seed, or in a sweep with several coefficients, and values what came of it."""
        self._check_reference([seed])
        training = hooks.train(self.size, seed)
        found = report.metrics_of(training)
        reference = REFERENCES.get((self.size.name, self.config.unequal))
        if reference is not None and seed in reference.cross_entropy:
            found["constrained"] = fitness.constrained(fitness.summarise(training.final), reference, seed)
        found |= self._alone(hooks, training)
        return Trial(training, found, found[self.config.fitness])

    def _alone(self, hooks: _Hooks, training: Training) -> dict[str, float]:
        """What a training is worth by itself: each fitness that needs no reference, but for a sweep that nobody asks for."""
        found = report.metrics_of(training)
        # Experts that are given nothing are as even as can be: what is not computed counts as imbalance.
        imbalance = found["training_l1_imbalance"] + found["training_idle_choices"]
        worth = {"shinka": fitness.shinka(found["training_cross_entropy"], imbalance)}
        if self.config.fitness == "frontier":
            worth["frontier"] = fitness.frontier([_point(training), *self._sweep(hooks, training.seed)], WORST)
        return worth

    def _values(self, hooks: _Hooks, trainings: Mapping[int, Training]) -> list[float]:
        return [self._alone(hooks, training)[self.config.fitness] for training in trainings.values()]

    def _sweep(self, hooks: _Hooks, seed: int) -> list[Point]:
        """Trains with the other coefficients of the sweep."""
        middle = self.size.training.coefficient
        factors = [coefficient / middle for coefficient in fitness.SWEEP if coefficient != middle]
        sizes = [replace(self.size, training=replace(self.size.training, coefficient_factor=factor)) for factor in factors]
        return [_point(hooks.train(size, seed)) for size in sizes]

    def _score(self, trials: Sequence[Trial]) -> Score:
        found = report.means([trial.metrics for trial in trials])
        first = trials[0].training
        return Score(
            values=[trial.value for trial in trials],
            metrics=report.directed(found),
            feedback=report.feedback(found, len(trials)),
            instances={f"seed {trial.training.seed}": trial.value for trial in trials},
            figure=lambda path: draw_loads(path, first.loads),
            artifacts={"trace.npz": lambda path: save_trace(Path(path), report.trace_of(first, "program"))},
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """A training and what it is worth.

    Attributes:
        training: What came of it.
        metrics: All that was measured.
        value: By the task's fitness.
    """

    training: Training
    metrics: Mapping[str, float]
    value: float


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A program and the reference, trained with the same seeds.

    Attributes:
        values: Constrained fitness of the program, by seed.
        differences: Mean cross-entropy less the reference's, and mean MaxVio less the reference's worst.
        told: The same in words.
    """

    values: list[float]
    differences: Mapping[str, float]
    told: str


class _Hooks(NamedTuple):
    """A program's hooks.

    Attributes:
        method: In the process that trainings ask.
        witness: In a process that knows nothing of them, for the guard to ask; None where the program defines no hook.
    """

    method: Method
    witness: Method | None

    def train(self, size: Size, seed: int) -> Training:
        return train(self.method, size, seed, witness=self.witness)


@contextmanager
def _opened(program: IsolatedProgram, allowed: Sequence[str], sizes: Sequence[Size], fixed: Sequence[str] = ()) -> Iterator[_Hooks]:
    """Opens a program's hooks, in a second process as well for the guard to ask; those that are fixed are the reference's.

    Raises:
        Invalid: If the program defines hooks otherwise than it may, or fails in the second process only.
        ProgramFailed: If it fails.
    """
    with sandboxed(program, allowed, sizes) as method:
        if not method.asks:
            yield _Hooks(_with_fixed(method, fixed), None)
            return
        with asked_again(), sandboxed(program.sibling(program.files), allowed, sizes) as witness:
            yield _Hooks(_with_fixed(method, fixed), _with_fixed(witness, fixed))


def variants_of(size: Size) -> dict[str, Size]:
    """Other models and another text that a finished result is tried on; each is named after the size that it varies."""
    model = size.model
    shapes = {"64_of_8": (64, 8), "32_of_2": (32, 2), "64_of_1": (64, 1)}
    models = {name: replace(model, experts=experts, active=k, widths=()) for name, (experts, k) in shapes.items()}
    if model.widths:
        models = {name: changed.unequal() for name, changed in models.items()}
    models["twice_as_wide"] = replace(model, width=2 * model.width, expert_width=2 * model.expert_width)
    found = {name: replace(size, name=f"{size.name}, {name}", model=changed) for name, changed in models.items()}
    shifted = replace(size, name=f"{size.name}, domain_shift", training=replace(size.training, shift=_SHIFT))
    return found | {"domain_shift": shifted}


def _with_fixed(method: Method, hooks: Sequence[str]) -> Method:
    return Completed(method, reference_method(), hooks) if hooks else method


def reference_method() -> LocalMethod:
    """The method that results are compared with, in this process."""
    return LocalMethod.load(catalog.path_of(REFERENCE))


def _side_by_side(trainings: Mapping[int, Training], size: Size, *, unequal: bool) -> SideBySide:
    """Compares trainings, by seed, with the reference's; those are trained where they are not known from before."""
    ours, seeds = {seed: fitness.summarise(training.final) for seed, training in trainings.items()}, tuple(trainings)
    reference = REFERENCES.get((size.name, unequal))
    if reference is None or not set(seeds) <= set(reference.cross_entropy):
        # Two at least, since their standard deviation is the unit.
        among = {*seeds, *FRESH[:2]}
        reference = fitness.refer_to(
            {seed: fitness.summarise(train(reference_method(), size, seed).final) for seed in sorted(among)}
        )
    gap = float(np.mean([ours[seed].cross_entropy - reference.cross_entropy[seed] for seed in seeds]))
    violation = float(np.mean([summary.max_violation for summary in ours.values()]))
    apart = {"cross_entropy": gap, "max_violation": violation - reference.max_violation}
    told = (
        f"cross-entropy {gap:+.4f}, MaxVio {violation:.3f} (at most {reference.max_violation:.3f} there), "
        f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    )
    return SideBySide([fitness.constrained(ours[seed], reference, seed) for seed in seeds], apart, told)


def _point(training: Training) -> Point:
    found = report.metrics_of(training)
    return Point(found["cross_entropy"], found["l1_imbalance"] + found["idle_choices"])


def _costed(size: Size, *, unequal: bool) -> Size:
    """The size, with experts of unequal cost where they are asked for."""
    return replace(size, model=size.model.unequal()) if unequal else size
