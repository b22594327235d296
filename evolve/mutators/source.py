"""Python source as the local mutators see it: a syntax tree whose every place has a position in the text.

Edits replace spans of the text, so that formatting, comments and everything outside the spans survive byte for byte
(measured at 0.5 ms where a concrete-syntax library takes 24).
"""

from __future__ import annotations

import ast
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from evolve.edits import Region, lines, mutable_regions
from evolve.mutators.numerals import Numeral, numerals
from evolve.program import Files

# Text in these is not arithmetic: types, decorators, patterns. Expressions in f-strings have no usable positions before
# Python 3.12, and a nested quote breaks them after it.
_SKIPPED_FIELDS = frozenset({"annotation", "returns", "decorator_list", "type_params", "type_comment", "pattern", "bases"}).union(
    ("ctx", "op", "ops", "id", "attr", "type_ignores")
)
_COMPREHENSIONS = frozenset({ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp})
_BINDING = frozenset(
    {ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.Lambda}
).union(_COMPREHENSIONS)
_LEAVES = frozenset({type(None), str, int, ast.JoinedStr, ast.alias})
_ARITHMETIC = frozenset({ast.BinOp, ast.UnaryOp, ast.Compare, ast.AugAssign})

# Calls whose arguments are counts, lengths or indices.
_INTEGRAL_CALLS = frozenset({
    "range", "zeros", "ones", "empty", "full", "arange", "linspace", "reshape", "repeat", "tile", "eye", "randint", "integers",
    "islice", "roll", "shift", "round", "heapreplace", "permutation", "choice",
})  # fmt: skip


@dataclass(slots=True)
class Scope:
    """Names of one function, class, lambda, comprehension or of the module.

    Attributes:
        outer: The scope around it; None for the module.
        is_class: Whether it is a class body, which functions inside cannot see.
        bound: Names it binds -> line of the first binding (0 for parameters).
        uses: Names it reads -> how: ``"number"``, ``"call"``, ``"attribute"``, ``"subscript"``, ``"iterate"``, ``"other"``.
    """

    outer: Scope | None = None
    is_class: bool = False
    bound: dict[str, int] = field(default_factory=dict)
    uses: dict[str, set[str]] = field(default_factory=dict)

    def chain(self) -> Iterator[Scope]:
        """Yields the scopes whose names are visible here, innermost first."""
        yield self
        scope = self.outer
        while scope is not None:
            if not scope.is_class:
                yield scope
            scope = scope.outer


class Place(NamedTuple):
    """An expression inside a mutable region, and where it stands.

    Attributes:
        node: The expression.
        parent: The node around it.
        field: The parent's field that holds it.
        scope: Where its names are looked up.
        integral: Whether only an integer will do there: an index, a length, a count, or a part of one.
    """

    node: ast.expr
    parent: ast.AST
    field: str
    scope: Scope
    integral: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A list of statements.

    Attributes:
        statements: All of them, also those outside the mutable regions.
        owner: The node whose body it is.
        scope: Where its names are looked up.
    """

    statements: list[ast.stmt]
    owner: ast.AST
    scope: Scope


class PythonSource:
    """One parsed file with the regions of it that may change. Everything is worked out when first asked for."""

    def __init__(self, path: str, text: str, regions: tuple[Region, ...]) -> None:
        """Parses a file.

        Raises:
            SyntaxError: If it does not parse.
        """
        self.path = path
        self.text = text
        self.regions = regions
        self.tree = parsed(text)

    @cached_property
    def places(self) -> list[Place]:
        """Expressions inside the regions, in no particular but always the same order."""
        return self._walked[0]

    @cached_property
    def blocks(self) -> list[Block]:
        """Lists of statements that touch the regions."""
        return self._walked[1]

    @cached_property
    def module(self) -> Scope:
        """The module's scope."""
        return self._walked[2]

    @cached_property
    def by_type(self) -> dict[type[ast.AST], list[Place]]:
        """Places by the type of their node."""
        found: dict[type[ast.AST], list[Place]] = {}
        for place in self.places:
            found.setdefault(type(place.node), []).append(place)
        return found

    @cached_property
    def numerals(self) -> tuple[Numeral, ...]:
        """The numbers inside the regions that can be tuned, in text order."""
        return tuple(numerals(self))

    @cached_property
    def newline(self) -> str:
        """The line ending of the file's first line."""
        first = next(lines(self.text), None)
        ending = first[0][len(first[0].rstrip("\r\n")) :] if first else ""
        return ending or "\n"

    def of_type(self, *kinds: type[ast.AST]) -> list[Place]:
        """Lists the places whose node is of one of these types."""
        return [place for kind in kinds for place in self.by_type.get(kind, ())]

    def span(self, node: ast.expr | ast.stmt) -> Region:
        """Returns the characters of a node, its decorators left out."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return Region(self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset))

    def segment(self, node: ast.expr | ast.stmt) -> str:
        """Returns the text of a node."""
        span = self.span(node)
        return self.text[span.start : span.end]

    def parenthesised(self, node: ast.expr) -> bool:
        """Tells whether a node stands directly between a pair of parentheses."""
        span = self.span(node)
        return self.text[span.start - 1 : span.start] == "(" and self.text[span.end : span.end + 1] == ")"

    def inside(self, node: ast.expr | ast.stmt) -> bool:
        """Tells whether a node lies wholly inside one region."""
        assert node.end_lineno is not None
        region = self._region_of_line[node.lineno]
        return region >= 0 and region == self._region_of_line[node.end_lineno]

    def whole_lines(self, statement: ast.stmt) -> Region | None:
        """Returns the lines of a statement, decorators and a comment behind it included.

        None when it shares a line with another statement, continues one (as ``elif`` does), or has no line end behind it.
        """
        first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])
        assert statement.end_lineno is not None
        if statement.end_lineno >= len(self._starts) - 1 and not self.text.endswith(("\n", "\r")):
            return None
        start, end = self._starts[first - 1], self._starts[statement.end_lineno]
        span = self.span(statement)
        before = self.text[start : span.start] if first == statement.lineno else ""
        after = self.text[span.end : end].strip()
        if self.text.startswith("elif", span.start) and isinstance(statement, ast.If):
            return None
        if before.strip() or (after and not after.startswith("#")) or self.text[:start].rstrip("\r\n").endswith("\\"):
            return None
        return Region(start, end)

    def indentation(self, statement: ast.stmt) -> str:
        """Returns the white space that a statement's line begins with."""
        start = self._starts[statement.lineno - 1]
        line = self.text[start : self._starts[statement.lineno]]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def operator_between(self, left: ast.expr, right: ast.expr) -> Region | None:
        """Finds the operator between two operands, past parentheses, comments and line ends.

        None when it is not a single word or symbol, such as ``not in``.
        """
        text, at, end = self.text, self.span(left).end, self.span(right).start
        found: Region | None = None
        while at < end:
            if text[at] == "#":
                while at < end and text[at] not in "\r\n":
                    at += 1
            elif text[at].isspace() or text[at] in "()\\":
                at += 1
            else:
                start = at
                while at < end and not text[at].isspace() and text[at] not in "()\\#":
                    at += 1
                if found is not None:
                    return None
                found = Region(start, at)
        return found

    @cached_property
    def _starts(self) -> list[int]:
        """Offset of every line, and of the text's end."""
        return [*(line.start() for line in lines(self.text)), len(self.text)]

    @cached_property
    def _region_of_line(self) -> list[int]:
        """Index of the region that each line belongs to, -1 for none; lines count from 1, as in `ast`."""
        found = [-1] * (len(self._starts) + 1)
        for index, region in enumerate(self.regions):
            for number, start in enumerate(self._starts[:-1], start=1):
                if region.start <= start < region.end:
                    found[number] = index
        return found

    @cached_property
    def _ascii(self) -> bool:
        return self.text.isascii()

    def _offset(self, line: int, column: int) -> int:
        """Turns a position of `ast`, whose columns count UTF-8 bytes, into a character offset."""
        start = self._starts[line - 1]
        if self._ascii:
            return start + column
        encoded = self.text[start : self._starts[line]].encode()
        return start + len(encoded[:column].decode())

    @cached_property
    def _walked(self) -> tuple[list[Place], list[Block], Scope]:
        places: list[Place] = []
        blocks: list[Block] = []
        module = Scope()
        # An explicit stack: a sum of a thousand terms is a thousand levels deep.
        stack: list[tuple[ast.AST, Scope, bool]] = [(self.tree, module, False)]
        while stack:
            node, scope, integral = stack.pop()
            inner = _bind(node, scope) if type(node) in _BINDING else scope
            if type(node) is ast.Call:
                integral = called_name(node) in _INTEGRAL_CALLS
            for name in node._fields:
                if name in _SKIPPED_FIELDS:
                    continue
                value = getattr(node, name)
                if type(value) is not list:
                    children = [value]
                else:
                    children = value
                    if value and isinstance(value[0], ast.stmt):
                        blocks.append(Block(value, node, inner))
                for child in children:
                    kind = type(child)
                    if kind in _LEAVES:
                        continue
                    if kind is ast.Name:
                        _note_name(child, node, name, inner)
                    if isinstance(child, ast.expr) and self.inside(child):
                        places.append(Place(child, node, name, inner, integral or name == "slice"))
                    if kind is not ast.Name and kind is not ast.Constant:
                        stack.append((child, inner, integral or name == "slice"))
        return places, [block for block in blocks if any(map(self.inside, block.statements))], module


def _bind(node: ast.AST, scope: Scope) -> Scope:
    """Notes the names that a node binds, and returns the scope of what it holds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            name = (alias.asname or alias.name).partition(".")[0]
            scope.bound.setdefault(name, node.lineno)
            scope.uses.setdefault(name, set()).add("import")
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        scope.bound.setdefault(node.name, node.lineno)
        scope.uses.setdefault(node.name, set()).add("call")
        scope = Scope(scope, isinstance(node, ast.ClassDef))
    elif isinstance(node, ast.Lambda) or type(node) in _COMPREHENSIONS:
        scope = Scope(scope)
    elif isinstance(node, ast.ExceptHandler) and node.name:
        scope.bound.setdefault(node.name, node.lineno)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        arguments = node.args
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        scope.bound.update({argument.arg: 0 for argument in listed if argument is not None})
    return scope


def _note_name(node: ast.Name, parent: ast.AST, where: str, scope: Scope) -> None:
    """Notes how a name is bound or read."""
    if not isinstance(node.ctx, ast.Load):
        first = scope.bound.get(node.id)
        scope.bound[node.id] = node.lineno if first is None else min(first, node.lineno)
        if type(parent) is ast.AugAssign:
            scope.uses.setdefault(node.id, set()).add("number")
        return
    kind = "other"
    if type(parent) in _ARITHMETIC:
        kind = "number"
    elif where == "func":
        kind = "call"
    elif where == "value" and isinstance(parent, ast.Attribute):
        kind = "attribute"
    elif where == "value" and isinstance(parent, ast.Subscript):
        kind = "subscript"
    elif where == "iter":
        kind = "iterate"
    scope.uses.setdefault(node.id, set()).add(kind)


def called_name(node: ast.AST) -> str:
    """Returns the last word of what a call calls; empty for anything else."""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def parsed(text: str) -> ast.Module:
    """Parses a text without letting Python's warnings about it out.

    Raises:
        SyntaxError: If it does not parse, for whatever reason.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes; too deeply nested
            raise SyntaxError(str(error) or type(error).__name__) from error


def compiles(tree: ast.Module) -> bool:
    """Tells whether a tree passes Python's checks beyond the grammar, such as no ``return`` outside a function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(tree, "<child>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


class SourceCache:
    """Remembers the files looked at last: good programs are parents and inspirations many times over.

    Bounded; what it returns depends on the text alone, so that a hit and a miss cannot be told apart. Not for several
    threads.
    """

    def __init__(self, size: int = 32) -> None:
        self._size = size
        self._known: OrderedDict[tuple[str, str, tuple[Region, ...]], PythonSource | None] = OrderedDict()

    def sources(self, files: Files) -> list[PythonSource]:
        """Parses the Python files of a program that have a mutable region, in path order; unparsable ones are left out."""
        regions = mutable_regions(files)
        wanted = [path for path in sorted(files) if path.endswith(".py") and regions[path]]
        return [source for path in wanted if (source := self.source(path, files[path], regions[path])) is not None]

    def source(self, path: str, text: str, regions: tuple[Region, ...]) -> PythonSource | None:
        """Parses one file; None when it does not parse."""
        key = (path, text, regions)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        try:
            found = PythonSource(path, text, regions)
        except SyntaxError:
            found = None
        self._known[key] = found
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return found
