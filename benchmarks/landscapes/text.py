"""What the programs of landscapes look like: a small Python function that makes calls with numbers.

    def build(plan):
        plan.use("lathe")
        plan.step("cool", 0.35, 2)
        return plan

Programs are real text, so that fingerprints and embeddings mean what they mean in a run; they are read with one regular
expression per line instead of being run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

#: The one file of every program.
PATH = "initial.py"
#: Significant digits that numbers are written with: what models write.
_DIGITS = 4

_TOP = '"""Builds a plan, call by call."""\n\n# EVOLVE-BLOCK-START\n'
_BOTTOM = "# EVOLVE-BLOCK-END\n"
_HEAD = re.compile(r"^def build\((\w+)\):$")
_LINE = re.compile(r'^    (\w+)\.(use|step)\("(\w+)"((?:, -?[0-9][0-9.e+-]*)*)\)$')


class Span(NamedTuple):
    """What a number may be: from ``low`` to ``high``, whole numbers only where ``whole``."""

    low: float
    high: float
    whole: bool = False

    def draw(self, rng: np.random.Generator) -> float:
        """Draws any of them, all alike."""
        if self.whole:
            return float(rng.integers(int(self.low), int(self.high) + 1))
        return tidy(rng.uniform(self.low, self.high))

    def moved(self, value: float, size: float, rng: np.random.Generator) -> float:
        """Moves a number by a normal step.

        Args:
            value: From where.
            size: Standard deviation, as a share of the span; whole numbers move by 1 at least.
            rng: The only source of chance.
        """
        shift = float(rng.normal(0.0, size * (self.high - self.low)))
        if self.whole:
            shift = float(np.sign(shift) * max(1, round(abs(shift))))
        return tidy(min(max(value + shift, self.low), self.high))


def tidy(value: float) -> float:
    """Rounds a number as programs spell it, so that what is scored is what is written."""
    return float(f"{value:.{_DIGITS}g}")


class Call(NamedTuple):
    """One line: a name and its numbers."""

    name: str
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A program as it is read.

    Attributes:
        skeleton: The architecture that it uses.
        calls: In their order.
        variable: How it calls its parameter, which changes nothing.
        comment: A comment, which changes nothing; empty for none.
    """

    skeleton: str
    calls: tuple[Call, ...]
    variable: str = "plan"
    comment: str = ""

    def first(self) -> dict[str, tuple[float, ...]]:
        """Numbers by name, of each name's first call."""
        found: dict[str, tuple[float, ...]] = {}
        for call in self.calls:
            found.setdefault(call.name, call.numbers)
        return found

    def with_call(self, place: int, call: Call) -> Source:
        """The same program with another call in one place."""
        return replace(self, calls=(*self.calls[:place], call, *self.calls[place + 1 :]))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What programs of a landscape may say.

    Attributes:
        skeletons: Architectures, at least one.
        calls: Name of a call -> what each of its numbers may be.
        ordered: Whether the order of calls matters.
        longest: Calls that a program may make.
    """

    skeletons: tuple[str, ...]
    calls: Mapping[str, tuple[Span, ...]]
    ordered: bool = False
    longest: int = 12

    def __post_init__(self) -> None:
        if not self.skeletons or not self.calls:
            raise ValueError("a vocabulary needs at least one skeleton and one call")
        if self.longest < 1:
            raise ValueError(f"longest must be >= 1, got {self.longest}")

    def draw(self, name: str, rng: np.random.Generator) -> Call:
        """Draws the numbers of a call."""
        return Call(name, tuple(span.draw(rng) for span in self.calls[name]))

    def behaviour(self, source: Source) -> tuple[str, tuple[Call, ...]]:
        """What of a program decides its score: equal for programs that differ in looks alone."""
        return source.skeleton, source.calls if self.ordered else tuple(sorted(source.calls))

    def check(self, source: Source) -> str:
        """Says what is wrong with a program; nothing when it may be scored."""
        if source.skeleton not in self.skeletons:
            return f"unknown skeleton {source.skeleton!r}; there are {', '.join(self.skeletons)}"
        if len(source.calls) > self.longest:
            return f"{len(source.calls)} calls, at most {self.longest} are allowed"
        return next(filter(None, map(self._check_call, source.calls)), "")

    def _check_call(self, call: Call) -> str:
        spans = self.calls.get(call.name)
        if spans is None:
            return f"unknown step {call.name!r}"
        if len(spans) != len(call.numbers):
            return f"{call.name} takes {len(spans)} numbers, got {len(call.numbers)}"
        for number, span in zip(call.numbers, spans, strict=True):
            if not span.low <= number <= span.high:
                return f"{call.name}: {number} lies outside {span.low} to {span.high}"
        return ""


def written(source: Source) -> str:
    """Writes a program, whole file, markers included."""
    lines = [f"def build({source.variable}):"]
    if source.comment:
        lines.append(f"    # {source.comment}")
    lines.append(f'    {source.variable}.use("{source.skeleton}")')
    lines += [f"    {source.variable}.step({', '.join((_quoted(call), *map(_spelt, call.numbers)))})" for call in source.calls]
    lines.append(f"    return {source.variable}")
    return _TOP + "\n".join(lines) + "\n" + _BOTTOM


def _quoted(call: Call) -> str:
    return f'"{call.name}"'


def _spelt(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


@lru_cache(maxsize=2048)
def read(text: str) -> Source:
    """Reads a program; parents and inspirations, which come again and again, only once.

    Raises:
        ValueError: If it would crash; the message is what Python would say last.
    """
    body = text.partition("# EVOLVE-BLOCK-START\n")[2].partition("# EVOLVE-BLOCK-END")[0]
    lines = [line for line in body.splitlines() if line.strip()]
    head = _HEAD.match(lines[0]) if lines else None
    if head is None:
        raise ValueError("NameError: name 'build' is not defined")
    variable = head[1]
    comment, skeleton = "", None
    calls: list[Call] = []
    for line in lines[1:]:
        if line.lstrip().startswith("#"):
            comment = line.lstrip().removeprefix("#").strip()
            continue
        if line == f"    return {variable}":
            break
        found = _LINE.match(line)
        if found is None or found[1] != variable:
            raise ValueError(f"NameError in {line.strip()!r}: a name is not defined")
        if found[2] == "use":
            skeleton = found[3]
        else:
            calls.append(Call(found[3], tuple(float(number) for number in found[4].split(",")[1:])))
    if skeleton is None:
        raise ValueError("RuntimeError: the plan uses no skeleton")
    return Source(skeleton, tuple(calls), variable, comment)
