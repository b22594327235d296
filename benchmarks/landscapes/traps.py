"""Landscapes that lead greedy searches astray: ``modules`` needs recombination, ``valleys`` patience with other architectures."""

from __future__ import annotations

from benchmarks.landscapes.base import Landscape
from benchmarks.landscapes.text import Call, Source, Span, Vocabulary

# Modules

_MODULES = ("gear", "belt", "valve", "motor", "clutch", "brake")
#: Switches of each module.
_SWITCHES = 4
#: What a trapped module brings with all switches off, where all on bring 1.
_LURE = 0.8
#: Modules that each skeleton shows as they are; the others are traps under it.
_HONEST = {"lathe": ("gear", "belt", "valve"), "mill": ("motor", "clutch", "brake")}


def _modules_value(source: Source) -> float:
    settings = source.first()
    return sum(_module(sum(settings[name]), name in _HONEST[source.skeleton]) for name in _MODULES if name in settings)


def _module(on: float, honest: bool) -> float:
    if honest or on == _SWITCHES:
        return on / _SWITCHES
    return _LURE * (_SWITCHES - 1 - on) / (_SWITCHES - 1)


def modules() -> Landscape:
    """Six modules of four switches, half of them traps under either skeleton.

    A trap pays for every switch that is turned off, except that all on pay most (fully deceptive traps, Deb & Goldberg 1993,
    "Analyzing deception in trap functions"). Under one skeleton the first three modules are honest, under the other the last
    three: a lineage solves three and is lured away from the rest, and changing its skeleton then costs it most of what it has.
    Lineages under both skeletons together hold all six, and recombination brings them into one program.
    """
    switch = Span(0.0, 1.0, whole=True)
    vocabulary = Vocabulary(tuple(_HONEST), dict.fromkeys(_MODULES, (switch,) * _SWITCHES), longest=8)
    mixed = (1.0, 0.0, 1.0, 0.0)
    return Landscape(
        "modules",
        vocabulary,
        Source("lathe", tuple(Call(name, mixed) for name in ("gear", "belt", "motor", "clutch"))),
        Source("lathe", tuple(Call(name, (1.0,) * _SWITCHES) for name in _MODULES)),
        float(len(_MODULES)),
        _modules_value,
    )


# Valleys

#: Skeleton -> what it brings with its numbers far off, what it brings at its targets, how wide the way there is (as a share of the
#: span), and the targets.
_VALLEYS = {
    "greedy": (0.30, 0.60, 0.30, (0.40, 0.55, 0.60)),
    "sweep": (0.20, 0.70, 0.20, (0.75, 0.20, 0.30)),
    "tree": (0.25, 0.55, 0.25, (0.15, 0.85, 0.50)),
    "flow": (0.15, 1.00, 0.15, (0.82, 0.71, 0.13)),
}
_DIALS = ("weight", "limit", "pace")
_IDLE = ("log", "cache")


def _valleys_value(source: Source) -> float:
    floor, cap, width, targets = _VALLEYS[source.skeleton]
    settings = source.first()
    fits = [
        1 / (1 + ((settings[name][0] - target) / width) ** 2) if name in settings else 0.0
        for name, target in zip(_DIALS, targets, strict=True)
    ]
    return floor + (cap - floor) * sum(fits) / len(fits)


def valleys() -> Landscape:
    """Four architectures with an optimum of their own; the one to start with is the easiest to tune, and poor.

    The numbers of one architecture are wrong for the others, so the best one looks worse than a tuned poor one until its own
    numbers are found: a search that keeps the best programs alone never gets there.
    """
    dial = (Span(0.0, 1.0),)
    return Landscape(
        "valleys",
        Vocabulary(tuple(_VALLEYS), dict.fromkeys((*_DIALS, *_IDLE), dial), longest=6),
        Source("greedy", tuple(Call(name, (0.95,)) for name in _DIALS)),
        Source("flow", tuple(Call(name, (target,)) for name, target in zip(_DIALS, _VALLEYS["flow"][3], strict=True))),
        1.0,
        _valleys_value,
    )
