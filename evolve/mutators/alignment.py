"""Where two programs do the same thing differently: functions of one name, bodies aligned statement by statement."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from evolve.edits import Region, Span
from evolve.mutators.source import PythonSource

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_LONGEST_BODY = 400  # statements; aligning two lists takes time in proportion to the product of their lengths


@dataclass(frozen=True, slots=True)
class Hunk:
    """Text of the donor to put into the parent.

    Attributes:
        path: The file.
        spans: The replacements.
        what: What is taken, in a few words.
    """

    path: str
    spans: tuple[Span, ...]
    what: str

    def clear_of(self, other: Hunk) -> bool:
        """Tells whether two hunks of one file touch different text."""
        return all(a.end < b.start or b.end < a.start for a in self.spans for b in other.spans)


def functions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Lists the functions and methods of a module by qualified name; of two with one name the last."""
    found: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
    stack: list[tuple[str, list[ast.stmt]]] = [("", tree.body)]
    while stack:
        prefix, body = stack.pop()
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                stack.append((f"{prefix}{statement.name}.", statement.body))
            elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                found[f"{prefix}{statement.name}"] = statement
    return found


def function_swaps(parent: PythonSource, donor: PythonSource) -> Iterator[Hunk]:
    """Finds functions that both have and that differ; each hunk takes one, with the definitions it needs besides."""
    ours, theirs = functions(parent.tree), functions(donor.tree)
    for name in sorted(ours.keys() & theirs.keys()):
        here, there = parent.whole_lines(ours[name]), donor.whole_lines(theirs[name])
        if here is None or there is None or not parent.inside(ours[name]):
            continue
        if parent.indentation(ours[name]) != donor.indentation(theirs[name]):
            continue
        text = donor.text[there.start : there.end]
        if text != parent.text[here.start : here.end]:
            needed = _needed(parent, donor, theirs[name])
            spans = [Span(here.start, here.end, text)]
            if needed:
                at = _top_level_start(parent, ours[name])
                spans.insert(0, Span(at, at, needed))
            yield Hunk(parent.path, tuple(spans), f"the function {name}")


def _top_level_start(source: PythonSource, inner: ast.stmt) -> int:
    """Returns where the module's statement that holds another one begins."""
    for statement in source.tree.body:
        end = statement.end_lineno
        if end is not None and statement.lineno <= inner.lineno <= end:
            lines = source.whole_lines(statement)
            if lines is not None:
                return lines.start
    return source.span(inner).start


def _needed(parent: PythonSource, donor: PythonSource, function: ast.stmt) -> str:
    """Returns the donor's top-level definitions that a function reads and the parent lacks, and those that they read."""
    known = set(parent.module.bound)
    definitions = {name: statement for statement in donor.tree.body for name in _defines(statement)}
    wanted: dict[int, ast.stmt] = {}
    stack: list[ast.stmt] = [function]
    while stack:
        for node in ast.walk(stack.pop()):
            if isinstance(node, ast.Name) and node.id not in known and node.id in definitions:
                statement = definitions[node.id]
                if statement is not function and statement.lineno not in wanted:
                    wanted[statement.lineno] = statement
                    stack.append(statement)
    pieces = [donor.whole_lines(wanted[line]) for line in sorted(wanted)]
    return "".join(donor.text[piece.start : piece.end] for piece in pieces if piece is not None)


def _defines(statement: ast.stmt) -> list[str]:
    """Lists the names that a top-level statement defines."""
    if isinstance(statement, _Definition):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return []


def hunks(parent: PythonSource, donor: PythonSource) -> Iterator[Hunk]:
    """Finds runs of statements that differ between aligned bodies, whole and, inside compound statements, in part."""
    bodies: list[tuple[str, list[ast.stmt], list[ast.stmt]]] = [("the module", parent.tree.body, donor.tree.body)]
    while bodies:
        where, ours, theirs = bodies.pop()
        if max(len(ours), len(theirs)) > _LONGEST_BODY:
            continue
        matcher = SequenceMatcher(None, _keys(parent, ours), _keys(donor, theirs), autojunk=False)
        for kind, i1, i2, j1, j2 in matcher.get_opcodes():
            if kind == "equal":
                continue
            hunk = _hunk(parent, donor, where, (ours, i1, i2), (theirs, j1, j2))
            if hunk is not None:
                yield hunk
            bodies += _inner(where, ours[i1:i2], theirs[j1:j2])


_Run = tuple[list[ast.stmt], int, int]


def _keys(source: PythonSource, statements: Sequence[ast.stmt]) -> list[str]:
    return [source.segment(statement) for statement in statements]


def _inner(
    where: str, ours: Sequence[ast.stmt], theirs: Sequence[ast.stmt]
) -> Iterator[tuple[str, list[ast.stmt], list[ast.stmt]]]:
    """Pairs the bodies of compound statements that stand across from each other: definitions by name, others by place."""
    named = {statement.name: statement for statement in theirs if isinstance(statement, _Definition)}
    for index, one in enumerate(ours):
        if isinstance(one, _Definition):
            other: ast.stmt | None = named.get(one.name)
            inside = f"{'the class' if isinstance(one, ast.ClassDef) else 'the function'} {one.name}"
        else:
            other, inside = theirs[index] if index < len(theirs) else None, where
        if type(one) is not type(other):
            continue
        if other is not None:
            for left, right in zip(_bodies(one), _bodies(other), strict=False):
                if left and right:
                    yield inside, left, right


def _bodies(statement: ast.stmt) -> list[list[ast.stmt]]:
    """Lists the bodies of a compound statement; branches that it lacks are empty."""
    own: list[list[ast.stmt]] = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    branches: list[ast.ExceptHandler | ast.match_case] = [*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())]
    return [*own, *(branch.body for branch in branches)]


def _hunk(parent: PythonSource, donor: PythonSource, where: str, ours: _Run, theirs: _Run) -> Hunk | None:
    """Replaces a run of the parent's statements by one of the donor's; either may be empty, the body may not become so."""
    statements, i1, i2 = ours
    others, j1, j2 = theirs
    if (i1 == 0 and i2 == len(statements) and j1 == j2) or not all(map(parent.inside, statements[i1:i2])):
        return None
    here, there = _lines(parent, statements, i1, i2), _lines(donor, others, j1, j2)
    if here is None or there is None or parent.indentation(statements[0]) != donor.indentation(others[0]):
        return None
    count = max(i2 - i1, j2 - j1)
    what = f"{count} statement{'s' if count > 1 else ''} of {where}"
    return Hunk(parent.path, (Span(here.start, here.end, donor.text[there.start : there.end]),), what)


def _lines(source: PythonSource, statements: Sequence[ast.stmt], first: int, last: int) -> Region | None:
    """Returns the lines of a run of statements; of an empty one, the place before the statement that follows it."""
    if first == last:
        beside = source.whole_lines(statements[first] if first < len(statements) else statements[-1])
        if beside is None:
            return None
        at = beside.start if first < len(statements) else beside.end
        return Region(at, at)
    begin, end = source.whole_lines(statements[first]), source.whole_lines(statements[last - 1])
    return None if begin is None or end is None else Region(begin.start, end.end)
