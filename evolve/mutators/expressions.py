"""Changes to single expressions. Each operator is one function: it finds a place and says what to write there, or None.

Operators prefer what tends to run: names that are bound and used in a like manner, functions of the same arity, numbers
where numbers stand. What they write always parses; nothing else is promised.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from evolve.edits import Span
from evolve.mutators.source import Place, PythonSource, called_name


class Tweak(NamedTuple):
    """A change to one file, with a sentence about it."""

    note: str
    spans: tuple[Span, ...]


_T = TypeVar("_T")
_SYMBOLS: Mapping[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2, "**": 3}
# The nearest relatives come twice.
_ARITHMETIC = {
    "+": ("-", "-", "*"), "-": ("+", "+", "/"), "*": ("/", "/", "+", "**"), "/": ("*", "*", "-", "//"),
    "//": ("/", "%", "*"), "%": ("//", "*", "-"), "**": ("*", "*", "/"),
}  # fmt: skip
_COMPARISONS = {
    "<": ("<=", "<=", ">"), "<=": ("<", "<", ">="), ">": (">=", ">=", "<"), ">=": (">", ">", "<="), "==": ("!=", "<="),
    "!=": ("==", "<"),
}  # fmt: skip
_FUNCTION_FAMILIES = (
    ("min", "max"), ("sin", "cos"), ("arcsin", "arccos"), ("asin", "acos"), ("sinh", "cosh", "tanh"), ("exp", "expm1"),
    ("log", "log1p", "sqrt"), ("floor", "ceil", "trunc"), ("minimum", "maximum"), ("fmin", "fmax"), ("amin", "amax"),
    ("mean", "median"), ("std", "var"), ("zeros", "ones"), ("zeros_like", "ones_like"), ("argmin", "argmax"), ("any", "all"),
    ("cumsum", "cumprod"), ("sum", "prod"), ("linspace", "geomspace"), ("nanmin", "nanmax"), ("add", "subtract"),
    ("multiply", "divide"), ("abs", "square"), ("appendleft", "append"), ("popleft", "pop"), ("nlargest", "nsmallest"),
    ("bisect_left", "bisect_right"), ("less", "less_equal", "greater"), ("triu", "tril"), ("normal", "uniform"),
)  # fmt: skip
_RELATIVES = {name: [o for o in family if o != name] for family in _FUNCTION_FAMILIES for name in family}
_ONLY_IN_MODULES = {"log1p", "expm1", "sqrt", "trunc", "prod", "square", "median", "uniform", "normal", "var", "std"}
_NOT_NUMBERS = {
    "range", "list", "dict", "set", "tuple", "str", "print", "zip", "enumerate", "sorted", "map", "filter", "open", "format",
    "join", "append", "extend", "reversed", "iter", "isinstance", "type", "super", "items", "keys", "values", "split", "strip",
    "default_rng", "frozenset", "replace", "partition", "combinations", "product", "permutations", "repr", "bytes",
}  # fmt: skip
_WRAPPABLE = {
    (ast.BinOp, "left"), (ast.BinOp, "right"), (ast.Assign, "value"), (ast.AugAssign, "value"), (ast.Return, "value"),
    (ast.Call, "args"), (ast.Compare, "left"), (ast.Compare, "comparators"), (ast.IfExp, "body"), (ast.IfExp, "orelse"),
    (ast.ListComp, "elt"), (ast.GeneratorExp, "elt"), (ast.List, "elts"), (ast.Tuple, "elts"),
}  # fmt: skip
_LOOSE = {"number", "other"}
_FACTORS = (0.5, 0.8, 0.9, 0.95, 0.99, 1.01, 1.05, 1.1, 1.25, 2.0)
_OFFSETS = (-1.0, -0.1, -0.01, 0.01, 0.1, 1.0)
_BOUNDS = (0.0, 0.01, 0.1, 0.5, 1.0, 2.0)
_PLAIN_NUMBERS = ("0", "1", "2", "0.5", "0.1", "-1", "1.0")


def pick(rng: np.random.Generator, options: Sequence[_T]) -> _T:
    """Draws one of several."""
    return options[int(rng.integers(len(options)))]


def picks(rng: np.random.Generator, options: Sequence[_T], count: int = 6) -> Iterator[_T]:
    """Draws a few, with repetition; nothing of nothing."""
    if options:
        yield from (options[index] for index in rng.integers(len(options), size=count).tolist())


def one(source: PythonSource, node: ast.expr, text: str, note: str) -> Tweak:
    """Replaces one expression."""
    span = source.span(node)
    return Tweak(note, (Span(span.start, span.end, text),))


def _brief(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."


def operand(source: PythonSource, node: ast.expr) -> str:
    """Returns an expression's text, in parentheses unless it is a single word or call."""
    text = source.segment(node)
    plain = isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.Subscript)
    if isinstance(node, ast.Constant) and not isinstance(node.value, str):
        plain = True
    return text if plain and "\n" not in text and "\r" not in text else f"({text})"


def is_textual(node: ast.AST) -> bool:
    """Tells whether an expression has a string in it, at a place where `+` and `%` would be about text."""
    stack: list[ast.AST] = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)):
            return True
        if isinstance(node, ast.BinOp):
            stack += [node.left, node.right]
    return False


def kinds_of(place: Place, name: str) -> set[str]:
    """Returns how a name is used in the scopes seen from a place."""
    return set().union(*(scope.uses.get(name, ()) for scope in place.scope.chain()))


def names_like(place: Place, name: str | None = None) -> list[str]:
    """Lists the names that could stand at a place: bound before it, and used as ``name`` is, or as numbers are.

    What is indexed, looped over, called or asked for an attribute is replaced only by what is treated the same way.
    """
    wanted = kinds_of(place, name) if name else {"number"}
    found: dict[str, None] = {}
    for scope in place.scope.chain():
        # Bindings of other functions' scopes have run by the time this one is called.
        limit = place.node.lineno if scope is place.scope else 10**9
        for other, line in scope.bound.items():
            kinds = scope.uses.get(other, set())
            if line < limit and other != name and kinds & wanted and kinds - _LOOSE == wanted - _LOOSE:
                found.setdefault(other)
    return sorted(found)


def is_number_place(place: Place) -> bool:
    """Tells whether an expression can be expected to be a number, or an array of them."""
    node = place.node
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float)
    if isinstance(node, ast.BinOp):
        return not is_textual(node)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub)
    if isinstance(node, ast.Name):
        return isinstance(node.ctx, ast.Load) and "number" in kinds_of(place, node.id)
    if isinstance(node, ast.Call):
        return called_name(node) not in _NOT_NUMBERS
    return isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and not isinstance(node.slice, ast.Slice)


def _number_places(source: PythonSource, rng: np.random.Generator) -> Iterator[Place]:
    """Draws a few places where an expression can be expected to be a number, and another could stand."""
    for place in picks(rng, source.places, 60):
        if (type(place.parent), place.field) in _WRAPPABLE and is_number_place(place):
            yield place


def swap_operator(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Replaces an arithmetic operator, with parentheses where the new one would group otherwise."""
    for place in picks(rng, source.of_type(ast.BinOp)):
        node = place.node
        assert isinstance(node, ast.BinOp)
        old = _SYMBOLS.get(type(node.op), "")
        at = source.operator_between(node.left, node.right)
        if old not in _ARITHMETIC or is_textual(node) or at is None:
            continue
        new = pick(rng, _ARITHMETIC[old])
        spans = [Span(at.start, at.end, new)]
        if _PRECEDENCE[old] != _PRECEDENCE[new]:
            grouped = [child for child in (node.left, node.right) if isinstance(child, ast.BinOp | ast.UnaryOp)]
            if isinstance(place.parent, ast.BinOp | ast.UnaryOp):
                grouped.insert(0, node)
            spans = _grouped(source, grouped, spans)
        return Tweak(f"Replaces {old} by {new} in {_brief(source.segment(node))}.", tuple(spans))
    return None


def _grouped(source: PythonSource, nodes: Sequence[ast.expr], spans: Sequence[Span]) -> list[Span]:
    """Puts parentheses around nodes that have none; nodes around others come first."""
    bare = [source.span(node) for node in nodes if not source.parenthesised(node)]
    opening = [Span(region.start, region.start, "(") for region in bare]
    closing = [Span(region.end, region.end, ")") for region in reversed(bare)]
    return [*opening, *spans, *closing]


def swap_comparison(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Replaces a comparison operator."""
    for place in picks(rng, source.of_type(ast.Compare)):
        node = place.node
        assert isinstance(node, ast.Compare)
        index = int(rng.integers(len(node.ops)))
        old = _SYMBOLS.get(type(node.ops[index]), "")
        at = source.operator_between([node.left, *node.comparators][index], node.comparators[index])
        if old in _COMPARISONS and at is not None:
            new = pick(rng, _COMPARISONS[old])
            return Tweak(f"Replaces {old} by {new} in {_brief(source.segment(node))}.", (Span(at.start, at.end, new),))
    return None


def swap_boolean(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Turns ``and`` into ``or`` or back."""
    for place in picks(rng, source.of_type(ast.BoolOp), 2):
        node = place.node
        assert isinstance(node, ast.BoolOp)
        found = [source.operator_between(left, right) for left, right in zip(node.values, node.values[1:], strict=False)]
        new = "or" if isinstance(node.op, ast.And) else "and"
        spans = _grouped(source, [node], [Span(at.start, at.end, new) for at in found if at is not None])
        return Tweak(f"Joins {_brief(source.segment(node))} with {new}.", tuple(spans))
    return None


def swap_function(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Calls a function's relative: ``sin`` for ``cos``, ``np.maximum`` for ``np.minimum``."""
    known = [place for place in source.of_type(ast.Call) if called_name(place.node) in _RELATIVES]
    for place in picks(rng, known):
        node, old = place.node, called_name(place.node)
        assert isinstance(node, ast.Call)
        new = pick(rng, _RELATIVES[old])
        function = node.func
        if isinstance(function, ast.Name) and (new in _ONLY_IN_MODULES or not _is_known(place, old, new)):
            continue
        end = source.span(function).end
        return Tweak(f"Calls {new} instead of {old}.", (Span(end - len(old), end, new),))
    return None


def _is_known(place: Place, old: str, new: str) -> bool:
    """Tells whether a plain name can be called: a builtin for a builtin, or a name of the program for one of those."""
    bound = {name for scope in place.scope.chain() for name in scope.bound}
    return (new in bound) if old in bound else new in {"min", "max", "any", "all", "sum", "abs"}


def rename(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Reads another name that is used in a like manner."""
    for place in picks(rng, source.of_type(ast.Name)):
        node = place.node
        assert isinstance(node, ast.Name)
        if isinstance(node.ctx, ast.Load) and "import" not in kinds_of(place, node.id):
            others = names_like(place, node.id)
            if others:
                return one(source, node, new := pick(rng, others), f"Reads {new} instead of {node.id}.")
    return None


def number_to_name(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Reads a name where a number stands."""
    for place in _number_places(source, rng):
        names = names_like(place)
        if isinstance(place.node, ast.Constant) and names:
            new = pick(rng, names)
            return one(source, place.node, new, f"Reads {new} instead of {place.node.value!r}.")
    return None


def name_to_number(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Writes a number where a name is read."""
    for place in _number_places(source, rng):
        if isinstance(place.node, ast.Name):
            new = pick(rng, [text for text in _PLAIN_NUMBERS if not place.integral or "." not in text])
            text = f"({new})" if new.startswith("-") and isinstance(place.parent, ast.BinOp) else new
            return one(source, place.node, text, f"Writes {new} instead of {place.node.id}.")
    return None


def wrap(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Scales, shifts or bounds an expression, or takes its magnitude."""
    for place in _number_places(source, rng):
        text = operand(source, place.node)
        new = f"({text} {pick(rng, ('+', '-'))} 1)" if place.integral else _wrapped(source, text, rng)
        return one(source, place.node, new, f"Wraps {_brief(text)}: {_brief(new)}.")
    return None


def numpy_name(source: PythonSource) -> str | None:
    """Returns the name that the module knows numpy by; None when it does not."""
    for statement in source.tree.body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.name == "numpy":
                    return alias.asname or alias.name
    return None


def _wrapped(source: PythonSource, text: str, rng: np.random.Generator) -> str:
    numpy = numpy_name(source)
    low, high = (f"{numpy}.minimum", f"{numpy}.maximum") if numpy else ("min", "max")
    match pick(rng, ("scale", "scale", "shift", "shift", "magnitude", "low", "high", "negate")):
        case "scale":
            return f"({text} * {pick(rng, _FACTORS)!r})"
        case "shift":
            offset = pick(rng, _OFFSETS)
            return f"({text} {'-' if offset < 0 else '+'} {abs(offset)!r})"
        case "magnitude":
            return f"abs({text})"
        case "low":
            return f"{low}({text}, {pick(rng, _BOUNDS)!r})"
        case "high":
            return f"{high}({text}, {pick(rng, _BOUNDS)!r})"
        case _:
            return f"(-{text})"
