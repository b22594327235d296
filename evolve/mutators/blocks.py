"""Changes to whole statements: lines deleted, doubled, exchanged, moved or added, never leaving a body empty."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from evolve.edits import Region, Span
from evolve.mutators.expressions import Tweak, names_like, numpy_name, pick, picks
from evolve.mutators.source import Block, Place, PythonSource, Scope

# Moving or deleting these breaks more than it finds.
_FIXED = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Global, ast.Nonlocal, ast.Return,
    ast.Raise, ast.Break, ast.Continue, ast.Pass,
)  # fmt: skip
_AUGMENTED = {"+=": ("-=", "*="), "-=": ("+=", "/="), "*=": ("/=", "+="), "/=": ("*=", "-="), "//=": ("/=", "%=")}
_FARTHEST = 4  # statements


class Line(NamedTuple):
    """A statement that has its lines to itself: where it stands and which characters they are."""

    block: Block
    at: int
    lines: Region

    @property
    def statement(self) -> ast.stmt:
        """The statement."""
        return self.block.statements[self.at]


def _movable(source: PythonSource, rng: np.random.Generator) -> Iterator[Line]:
    """Draws a few statements that can be moved about."""
    known = [
        (block, index)
        for block in source.blocks
        for index, statement in enumerate(block.statements)
        if not isinstance(statement, _FIXED) and not _is_docstring(statement) and source.inside(statement)
    ]
    for block, index in picks(rng, known, 8):
        lines = source.whole_lines(block.statements[index])
        if lines is not None:
            yield Line(block, index, lines)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _bound_names(statement: ast.stmt) -> dict[str, int]:
    """Counts the bindings of each name inside a statement."""
    found: dict[str, int] = {}
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found[node.id] = found.get(node.id, 0) + 1
    return found


def _spared(line: Line) -> bool:
    """Tells whether a program can do without a statement: what it binds is bound before it, or never read."""
    statement = line.statement
    for name in _bound_names(statement):
        scope = line.block.scope
        if scope.bound.get(name, statement.lineno) >= statement.lineno and name in scope.uses:
            return False
    return True


def _brief(source: PythonSource, statement: ast.stmt) -> str:
    first = source.segment(statement).splitlines()[0]
    return first if len(first) <= 50 else first[:47] + "..."


def delete(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Deletes a statement; the only one of a body becomes ``pass``."""
    for line in _movable(source, rng):
        if not _spared(line):
            continue
        text = ""
        if len(line.block.statements) == 1:
            text = f"{source.indentation(line.statement)}pass{source.newline}"
        return Tweak(f"Deletes {_brief(source, line.statement)!r}.", (Span(line.lines.start, line.lines.end, text),))
    return None


def _repeats(statement: ast.stmt) -> bool:
    """Tells whether doing a statement twice can differ from doing it once."""
    if isinstance(statement, ast.Assign):
        read = {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
        return bool(read & _bound_names(statement).keys())
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call)
    return isinstance(statement, ast.AugAssign | ast.For | ast.While | ast.If)


def duplicate(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Does a statement twice in a row."""
    for line in _movable(source, rng):
        if _repeats(line.statement):
            text = source.text[line.lines.start : line.lines.end]
            return Tweak(f"Repeats {_brief(source, line.statement)!r}.", (Span(line.lines.end, line.lines.end, text),))
    return None


def exchange(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Exchanges two neighbouring statements."""
    for line in _movable(source, rng):
        later = line.block.statements[line.at + 1 : line.at + 2]
        if not later or isinstance(later[0], _FIXED) or not source.inside(later[0]):
            continue
        other = source.whole_lines(later[0])
        if other is None or _feeds(line.statement, later[0], line.block.scope):
            continue
        first = source.text[line.lines.start : line.lines.end]
        second = source.text[other.start : other.end]
        spans = (Span(line.lines.start, line.lines.end, second), Span(other.start, other.end, first))
        return Tweak(f"Exchanges {_brief(source, line.statement)!r} with the statement below.", spans)
    return None


def _feeds(first: ast.stmt, second: ast.stmt, scope: Scope) -> bool:
    """Tells whether the second statement reads a name that the first one binds for the first time."""
    fresh = {name for name in _bound_names(first) if scope.bound.get(name, 0) >= first.lineno}
    return any(isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in fresh for node in ast.walk(second))


def move(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Moves a statement up or down within its body."""
    for line in _movable(source, rng):
        statements = line.block.statements
        near = [i for i in range(len(statements)) if 1 < abs(i - line.at) <= _FARTHEST and source.inside(statements[i])]
        if not near or isinstance(statements[target := pick(rng, near)], _FIXED) or _is_docstring(statements[target]):
            continue
        there = source.whole_lines(statements[target])
        if there is None or _breaks_order(line, target):
            continue
        at = there.end if target > line.at else there.start
        text = source.text[line.lines.start : line.lines.end]
        spans = (Span(line.lines.start, line.lines.end, ""), Span(at, at, text))
        return Tweak(f"Moves {_brief(source, line.statement)!r} {'down' if target > line.at else 'up'}.", spans)
    return None


def _breaks_order(line: Line, target: int) -> bool:
    """Tells whether moving a statement would put a reader before the first binding of what it reads."""
    statements, scope = line.block.statements, line.block.scope
    if target > line.at:
        return any(_feeds(line.statement, other, scope) for other in statements[line.at + 1 : target + 1])
    return any(_feeds(other, line.statement, scope) for other in statements[target : line.at])


def _follows(source: PythonSource, rng: np.random.Generator) -> Iterator[tuple[Line, str]]:
    """Draws a few statements that give a plain name a number, each with that name."""
    for line in _movable(source, rng):
        statement = line.statement
        target: ast.expr | None = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AugAssign):
            target = statement.target
        if isinstance(target, ast.Name) and "number" in line.block.scope.uses.get(target.id, ()):
            yield line, target.id


def insert_assignment(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Adds a line below one that gives a name a number: scales it, bounds it, or mixes in another name, perhaps guarded."""
    for line, name in _follows(source, rng):
        place = Place(ast.Name(name, lineno=line.statement.lineno + 1), line.statement, "value", line.block.scope)
        others = [other for other in names_like(place) if other != name]
        numpy = numpy_name(source)
        low, high = (f"{numpy}.minimum", f"{numpy}.maximum") if numpy else ("min", "max")
        factor = pick(rng, (0.5, 0.9, 0.99, 1.01, 1.1, 2.0))
        lines = [f"{name} = {name} * {factor!r}", f"{name} = {pick(rng, (low, high))}({name}, {pick(rng, (0.0, 0.1, 1.0))!r})"]
        if others:
            other = pick(rng, others)
            weight = pick(rng, (0.1, 0.5, 0.9))
            lines += [
                f"{name} = {weight!r} * {name} + {round(1 - weight, 6)!r} * {other}",
                f"{name} = {pick(rng, (low, high))}({name}, {other})",
                f"if {name} {pick(rng, ('<', '>'))} {other}: {name} = {pick(rng, (other, f'{name} * {factor!r}'))}",
            ]
        new = pick(rng, lines)
        text = f"{source.indentation(line.statement)}{new}{source.newline}"
        return Tweak(f"Adds {new!r}.", (Span(line.lines.end, line.lines.end, text),))
    return None


def swap_augmented(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Replaces the operator of an augmented assignment."""
    for line in _movable(source, rng):
        statement = line.statement
        if not isinstance(statement, ast.AugAssign):
            continue
        at = source.operator_between(statement.target, statement.value)
        old = source.text[at.start : at.end] if at is not None else ""
        if at is not None and old in _AUGMENTED:
            new = pick(rng, _AUGMENTED[old])
            return Tweak(f"Replaces {old} by {new} in {_brief(source, statement)!r}.", (Span(at.start, at.end, new),))
    return None
