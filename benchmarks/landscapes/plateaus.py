"""Landscapes on which a score says little about a single step: ``copies`` is flat almost everywhere, ``noisy`` is blurred."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.landscapes.base import Landscape
from benchmarks.landscapes.scripted import HABITS, Habits
from benchmarks.landscapes.text import Call, Source, Span, Vocabulary
from evolve.program import Direction

# Copies

_RIGHT = ("hash", "shard", "batch", "prune", "merge", "flush")
_WRONG = (
    "retry", "split", "queue", "probe", "stage", "index", "group", "order", "align", "store",
    "fetch", "trace", "relay", "share", "count", "defer", "drain", "elect",
)  # fmt: skip


def _repetitive(habits: Habits) -> Habits:
    """The same habits with three answers of four a near-copy."""
    others = sum(habits.weights[:-1])
    return replace(habits, copy=3 * others, favourite=0.2)


def copies() -> Landscape:
    """A plateau with six stairs, and arms that mostly say the parent again in other words.

    The score counts which of six steps are there, whatever their numbers, so renamed, reordered and retuned programs are all
    neutral: every evaluation of one is wasted. Telling near-copies from other programs before they are scored pays here.
    """
    number = (Span(0.0, 1.0), Span(0.0, 100.0))
    wrong = tuple(Call(name, (0.5, 20.0)) for name in _WRONG[:6])
    return Landscape(
        "copies",
        Vocabulary(("flat",), dict.fromkeys((*_RIGHT, *_WRONG), number), longest=9),
        Source("flat", wrong),
        Source("flat", tuple(Call(name, (0.5, 20.0)) for name in _RIGHT)),
        float(len(_RIGHT)),
        lambda source: float(sum(name in source.first() for name in _RIGHT)),
        habits=tuple(_repetitive(habits) for habits in HABITS),
    )


# Noisy

_TARGETS = {"alpha": 0.63, "beta": 0.18, "gamma": 0.47, "delta": 0.81, "kappa": 0.29, "omega": 0.55}
_MISSING = 0.35


def _noisy_value(source: Source) -> float:
    settings = source.first()
    return sum((settings[name][0] - target) ** 2 if name in settings else _MISSING for name, target in _TARGETS.items())


def noisy() -> Landscape:
    """A smooth bowl in six numbers, minimised to 0, measured with noise as large as typical improvements.

    The best measured program is often a lucky one: a search that never doubts a measurement stays with it.
    """
    return Landscape(
        "noisy",
        Vocabulary(("model",), dict.fromkeys(_TARGETS, (Span(0.0, 1.0),)), longest=8),
        Source("model", tuple(Call(name, (round(1 - target, 2),)) for name, target in list(_TARGETS.items())[:4])),
        Source("model", tuple(Call(name, (target,)) for name, target in _TARGETS.items())),
        0.0,
        _noisy_value,
        Direction.MINIMIZE,
        noise=0.05,
    )
