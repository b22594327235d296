"""Landscapes for reports alone: do not look at them while a strategy, or its settings, are being tuned.

What is measured here says how a choice made on the other landscapes carries over to problems of another kind. A figure that
decided about a setting is worth nothing afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import count
from typing import NamedTuple

import numpy as np

from benchmarks.landscapes.base import Landscape
from benchmarks.landscapes.text import Call, Source, Span, Vocabulary
from evolve.program import Direction
from evolve.rng import generator

# Scheduling

_N_JOBS = 7
_N_INSTANCES = 6
_TERMS = ("ratio", "slack", "due", "length", "weight", "late")
_COEFFICIENT = (Span(-1.0, 1.0),)
_RULE = (Call("ratio", (0.9,)), Call("slack", (-0.7,)), Call("length", (-0.3,)))


class Job(NamedTuple):
    """A job of one machine: how long it takes, when it is due, and what a unit of lateness costs."""

    length: int
    due: int
    weight: int


def _priority(job: Job, now: int) -> dict[str, float]:
    """What a rule may look at, each of magnitude 1."""
    slack = job.due - now - job.length
    return {
        "ratio": job.weight / job.length,
        "slack": max(slack, 0) / 10,
        "due": job.due / 30,
        "length": job.length / 10,
        "weight": job.weight / 10,
        "late": float(slack < 0),
    }


def _scheduled_cost(jobs: tuple[Job, ...], rule: dict[str, float]) -> int:
    """Total weighted tardiness when the machine always takes the job of the highest priority; ties go to the first."""
    left, now, cost = list(jobs), 0, 0
    while left:
        priorities = [sum(weight * terms[name] for name, weight in rule.items()) for terms in (_priority(job, now) for job in left)]
        job = left.pop(priorities.index(max(priorities)))
        now += job.length
        cost += job.weight * max(now - job.due, 0)
    return cost


def least_cost(jobs: tuple[Job, ...]) -> int:
    """The least total weighted tardiness of any order, by dynamic programming over sets of jobs done first.

    Source: Held & Karp 1962 ("A dynamic programming approach to sequencing problems").
    """
    least = {0: 0}
    for done in range(1, 1 << len(jobs)):
        members = [index for index in range(len(jobs)) if done >> index & 1]
        now = sum(jobs[index].length for index in members)
        least[done] = min(least[done & ~(1 << last)] + jobs[last].weight * max(now - jobs[last].due, 0) for last in members)
    return least[(1 << len(jobs)) - 1]


def _drawn(number: int) -> tuple[Job, ...]:
    rng = generator(62, number, "scheduling")
    lengths, weights = rng.integers(1, 11, _N_JOBS), rng.integers(1, 11, _N_JOBS)
    dues = rng.integers(3, max(4, int(0.8 * lengths.sum())), _N_JOBS)
    return tuple(Job(*map(int, numbers)) for numbers in zip(lengths, dues, weights, strict=True))


@cache
def instances() -> tuple[tuple[Job, ...], ...]:
    """Instances whose least cost one rule attains on all of them, so that the optimum over rules is known."""
    rule = {call.name: call.numbers[0] for call in _RULE}
    kept: list[tuple[Job, ...]] = []
    for number in count():
        jobs = _drawn(number)
        if (least := least_cost(jobs)) > 0 and _scheduled_cost(jobs, rule) == least:
            kept.append(jobs)
        if len(kept) == _N_INSTANCES:
            break
    return tuple(kept)


def _scheduling_value(source: Source) -> float:
    rule = {name: numbers[0] for name, numbers in source.first().items()}
    return float(sum(_scheduled_cost(jobs, rule) for jobs in instances()))


def scheduling() -> Landscape:
    """Coefficients of a dispatching rule for one machine, over six instances of seven jobs: total weighted tardiness, minimised."""
    return Landscape(
        "scheduling",
        Vocabulary(("list",), dict.fromkeys(_TERMS, _COEFFICIENT), longest=6),
        Source("list", (Call("due", (0.5,)), Call("weight", (-0.2,)))),
        Source("list", _RULE),
        float(sum(map(least_cost, instances()))),
        _scheduling_value,
        Direction.MINIMIZE,
    )


# Expression

_POINTS = np.linspace(-2.0, 2.0, 41)
_SHAPES: dict[str, Callable[[float, float], np.ndarray]] = {
    "sine": lambda scale, rate: scale * np.sin(3 * rate * _POINTS),
    "power": lambda scale, exponent: scale * _POINTS**exponent,
    "decay": lambda scale, rate: scale * np.exp(-np.abs(rate * _POINTS)),
    "ridge": lambda scale, place: scale * np.maximum(_POINTS - 2 * place, 0.0),
    "bell": lambda scale, place: scale * np.exp(-8 * (_POINTS - 2 * place) ** 2),
}
_SCALE, _RATE = Span(-2.0, 2.0), Span(-1.0, 1.0)
_FORMULA = (Call("sine", (1.2, 0.8)), Call("power", (0.5, 2.0)), Call("bell", (-1.5, 0.4)))


def _fitted(source: Source) -> np.ndarray:
    """``(41,)`` values of a formula."""
    return np.asarray(sum((_SHAPES[call.name](*call.numbers) for call in source.calls), np.zeros(len(_POINTS))))


@cache
def _wanted() -> np.ndarray:
    # In the order of `Vocabulary.behaviour`, as every formula is summed: that of the solution has no residual at all.
    return _fitted(Source("sum", tuple(sorted(_FORMULA))))


def _expression_value(source: Source) -> float:
    """1 for the formula itself; 1/2 for residuals as large as the spread of what is wanted."""
    wanted = _wanted()
    spread = float(((wanted - wanted.mean()) ** 2).sum())
    residual = float(((_fitted(Source("sum", tuple(sorted(source.calls)))) - wanted) ** 2).sum())
    return spread / (spread + residual)


def expression() -> Landscape:
    """Symbolic regression of a small formula: which shapes are summed, and their numbers."""
    spans = dict.fromkeys(_SHAPES, (_SCALE, _RATE)) | {"power": (_SCALE, Span(0.0, 3.0, whole=True))}
    return Landscape(
        "expression",
        Vocabulary(("sum",), spans, longest=6),
        Source("sum", (Call("power", (0.5, 1.0)),)),
        Source("sum", _FORMULA),
        1.0,
        _expression_value,
    )
