"""What a population may place programs by, besides their fitness: measured from the code, or by the evaluation.

A trait has a name and is a number. From the code's mutable text: ``size`` (characters), ``lines`` (that hold something),
``complexity`` (places where it branches or loops) and ``nesting`` (deepest indentation, in levels). From the evaluation:
``cpu_s``, ``metric:NAME`` and ``instance:NAME``. A program that lacks a trait is placed by the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping

from evolve.errors import ConfigError, nearest_hint
from evolve.program import Evaluation

#: Words that branch or loop in the languages that tasks are written in; operators that do count as well.
_BRANCHES = re.compile(r"\b(?:if|elif|for|while|case|catch|except|match|switch|and|or)\b|&&|\|\||\?(?=[^.?\[])")


def _complexity(text: str) -> float:
    return float(len(_BRANCHES.findall(text)))


def _lines(text: str) -> float:
    return float(sum(1 for line in text.splitlines() if line.strip()))


def _nesting(text: str) -> float:
    """Counts the distinct indentations that are open at the deepest line."""
    deepest, open_levels = 0, [0]
    for line in text.expandtabs(4).splitlines():
        body = line.lstrip(" ")
        if not body:
            continue
        width = len(line) - len(body)
        while open_levels[-1] > width:
            open_levels.pop()
        if open_levels[-1] < width:
            open_levels.append(width)
        deepest = max(deepest, len(open_levels) - 1)
    return float(deepest)


_OF_CODE: Mapping[str, Callable[[str], float]] = {
    "size": lambda text: float(len(text)),
    "lines": _lines,
    "complexity": _complexity,
    "nesting": _nesting,
}
_PREFIXES = ("metric:", "instance:")


def check_traits(names: Iterable[str], where: str) -> None:
    """Refuses names that no trait has.

    Args:
        names: What a user wrote.
        where: How messages call the place.

    Raises:
        ConfigError: If one is unknown; the message names the nearest known one.
    """
    known = [*_OF_CODE, "cpu_s"]
    for name in names:
        if name not in known and not any(name.startswith(prefix) and len(name) > len(prefix) for prefix in _PREFIXES):
            hint = nearest_hint(name, [*known, "metric:NAME", "instance:NAME"])
            raise ConfigError(f"{where}: unknown trait {name!r}; {hint}")


def measure(wanted: Collection[str], mutable: str, evaluation: Evaluation) -> dict[str, float]:
    """Measures a scored program.

    Args:
        wanted: Names of traits; ``instance:*`` stands for all instances.
        mutable: The text of its mutable regions.
        evaluation: Of it.

    Returns:
        The wanted traits that it has, in the order of their names.
    """
    found = {name: _OF_CODE[name](mutable) for name in wanted if name in _OF_CODE}
    if "cpu_s" in wanted:
        found["cpu_s"] = evaluation.cpu_s
    for name, metric in evaluation.metrics.items():
        if f"metric:{name}" in wanted:
            found[f"metric:{name}"] = metric.value
    for name, value in evaluation.instances.items():
        if f"instance:{name}" in wanted or "instance:*" in wanted:
            found[f"instance:{name}"] = value
    return dict(sorted(found.items()))
