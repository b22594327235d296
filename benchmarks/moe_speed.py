"""What a training step of the MoE lab costs beside that of a dense model with as many active operations, and an evaluation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from moe_trials import SIZES, Size

from evolve.evaluators.moe import trainer
from evolve.evaluators.moe.balancer import Balancer
from evolve.evaluators.moe.calling import LocalMethod
from evolve.evaluators.moe.descent import deterministic
from evolve.evaluators.moe.guards import check_repeats
from evolve.evaluators.moe.methods import catalog
from evolve.evaluators.moe.router import Pass
from evolve.evaluators.statistics import mean, standard_error
from evolve.intervals import Interval, mean_interval

#: By then Switch's loss has brought the load near balance.
_WARM_STEPS = 60

#: Of one timing: a step's data differ.
_STEPS_EACH = 4

#: What the step is allowed to cost, in dense ones.
LIMIT = 1.3


class StepCost(NamedTuple):
    """What a step costs.

    Attributes:
        size: Its name.
        sparse_ms: CPU milliseconds of a step with experts, median.
        dense_ms: The same of a dense model's.
        ratio: Their ratio, the mean over pairs with its interval.
        routing: Share of a step's forward pass and its update that the choice of experts takes, hooks and checks included.
    """

    size: str
    sparse_ms: float
    dense_ms: float
    ratio: Interval
    routing: float

    @property
    def beyond_dense(self) -> float:
        """Share of a step that is for routing and dispatch, forward and back: all that a dense model does without."""
        return 1 - 1 / self.ratio.value


def dense(size: Size) -> Size:
    """A model without routers whose feed-forward layers are as wide as what a token goes through."""
    model = size.model
    return replace(size, model=replace(model, experts=1, active=1, expert_width=model.active * model.expert_width, widths=()))


def step_cost(name: str, pairs: int) -> StepCost:
    """Times steps by turns, sparse dense dense sparse, so that a neighbour's load meets both alike."""
    with deterministic("cpu"):
        sparse_step, dense_step = _sparse(SIZES[name]), _dense(SIZES[name])
        for step in range(_WARM_STEPS):
            sparse_step(step)
        _cpu_s(dense_step, 0)
        rounds = []
        for pair in range(pairs):
            step = _WARM_STEPS + 2 * _STEPS_EACH * pair
            turns = (sparse_step, dense_step, dense_step, sparse_step)
            rounds.append([_cpu_s(turn, step + place // 2 * _STEPS_EACH) for place, turn in enumerate(turns)])
        routing = _routing_share(sparse_step)
    ratios = [(first + last) / (second + third) for first, second, third, last in rounds]
    sparse = [cost for first, _, _, last in rounds for cost in (first, last)]
    others = [cost for _, second, third, _ in rounds for cost in (second, third)]
    interval = mean_interval(mean(ratios), standard_error(ratios) or 0.0, len(ratios))
    return StepCost(name, 1e3 * statistics.median(sparse), 1e3 * statistics.median(others), interval, routing)


class EvaluationCost(NamedTuple):
    """CPU seconds of a training."""

    what: str
    values: list[float]


def evaluation_costs(repeats: int) -> list[EvaluationCost]:
    """Times what a program's evaluation consists of, by turns."""
    parts: dict[str, Callable[[LocalMethod], object]] = {
        "smoke, trained twice, with guards": lambda method: check_repeats(method, SIZES["smoke"], 0),
        "nano, one seed, with guards": lambda method: trainer.train(method, SIZES["nano"], 0),
    }
    found: dict[str, list[float]] = {what: [] for what in parts}
    trainer.train(_switch(), replace(SIZES["smoke"], training=replace(SIZES["smoke"].training, steps=2)), 0)
    for _ in range(repeats):
        for what, part in parts.items():
            began = time.process_time()
            part(_switch())
            found[what].append(time.process_time() - began)
    return [EvaluationCost(*item) for item in found.items()]


def report(steps: Sequence[StepCost], evaluations: Sequence[EvaluationCost]) -> Iterator[str]:
    """Writes the tables."""
    yield "Training step of Switch, in process and near balance, beside a dense model of as many active operations:\n"
    yield "| size | experts, CPU ms | dense, CPU ms | ratio [95 %] | aim | routing and dispatch | choosing, forward |"
    yield "|---|---|---|---|---|---|---|"
    for cost in steps:
        ratio = f"{cost.ratio.value:.3f} [{cost.ratio.low:.3f}, {cost.ratio.high:.3f}]"
        yield (
            f"| {cost.size} | {cost.sparse_ms:.1f} | {cost.dense_ms:.1f} | {ratio} | <= {LIMIT} | {cost.beyond_dense:.1%} "
            f"| {cost.routing:.1%} |"
        )
    yield "\nRatios are means over rounds of experts, dense, dense, experts. Routing and dispatch: share of the step that is spent"
    yield "beyond the dense one, forward and back. Choosing, forward: share of routing tokens and of the method's loss and update."
    yield "\n| evaluation of Switch | CPU s, median | range |\n|---|---|---|"
    for evaluation in evaluations:
        low, high = min(evaluation.values), max(evaluation.values)
        yield f"| {evaluation.what} | {statistics.median(evaluation.values):.2f} | {low:.2f} to {high:.2f} |"


def _switch() -> LocalMethod:
    return LocalMethod.load(catalog.path_of("switch"))


def _sparse(size: Size) -> Callable[[int], object]:
    # A step by itself is nothing that the package offers, and a training of few steps is mostly set-up.
    training = trainer._Trainer(_switch(), size, 0, guarded=False, witness=None)
    return lambda step: training._step(step, step / size.training.steps, tell_apart=False)


def _dense(size: Size) -> Callable[[int], object]:
    training = trainer._Trainer(LocalMethod.load(catalog.path_of("none")), dense(size), 0, guarded=False, witness=None)
    schedule = training.balancer.schedule(0, 1, 0.0)

    def run(step: int) -> None:
        routing = training._pass(schedule, step, training=True)
        loss = training._cross_entropy(training._batch(step), routing).mean()
        training.descent.step(loss, step / size.training.steps, step)

    return run


def _cpu_s(run: Callable[[int], object], first: int) -> float:
    """CPU seconds of a step, the mean of several."""
    began = time.process_time()
    for step in range(first, first + _STEPS_EACH):
        run(step)
    return (time.process_time() - began) / _STEPS_EACH


def _routing_share(run: Callable[[int], object], steps: int = 20) -> float:
    """Share of steps that is spent where tokens are routed and where the method's loss and update are."""
    spent = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal spent
            began = time.process_time()
            answer = function(*arguments, **more)
            spent += time.process_time() - began
            return answer

        return call

    watched = ((Pass, "__call__"), (Balancer, "loss"), (Balancer, "update"))
    before = [getattr(owner, name) for owner, name in watched]
    try:
        for (owner, name), function in zip(watched, before, strict=True):
            setattr(owner, name, timed(function))
        began = time.process_time()
        for step in range(_WARM_STEPS, _WARM_STEPS + steps):
            run(step)
        return spent / (time.process_time() - began)
    finally:
        for (owner, name), function in zip(watched, before, strict=True):
            setattr(owner, name, function)
