"""Numeric literals in source text: where they stand, what they are, how new values are written."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from evolve.edits import Span, splice

if TYPE_CHECKING:
    from evolve.mutators.source import Place, PythonSource  # which itself keeps what is found here

# Digits that always survive, and all that a float has.
MIN_DIGITS = 6
MAX_DIGITS = 17
# Indices, axes, powers and lengths shape a program; floats tune it.
_FLOAT_WEIGHT = 1.0
_INT_WEIGHT = 0.3
_SMALL_INT_WEIGHT = 0.15
STRUCTURAL_WEIGHT = 0.03
# Characters that no number is written with; texts that differ in numbers only have as many of each.
_TELLTALES = "\n=,:*/%<>[]\"'#abcdfghiklmnopqrstuvwyz"
LARGEST = 1e15  # beyond, integers and floats do not convert exactly


class Numbered(Protocol):
    """A file whose numbers can be tuned, in whatever language."""

    @property
    def path(self) -> str:
        """The file's path."""
        ...

    @property
    def text(self) -> str:
        """All of it."""
        ...

    @property
    def numerals(self) -> tuple[Numeral, ...]:
        """The numbers inside its regions, in text order."""
        ...


class Numeral(NamedTuple):
    """A number written in a program, its minus sign included.

    Attributes:
        start: Its first character.
        end: Just past its last one.
        value: Its value; an int stays one.
        weight: How readily it is changed.
        guarded: Whether a minus sign needs parentheses here, as before ``**``.
    """

    start: int
    end: int
    value: int | float
    weight: float
    guarded: bool = False


def numerals(source: PythonSource) -> list[Numeral]:
    """Lists the numbers inside the regions that can be tuned, in text order.

    Left out: numbers in annotations, decorators, patterns and f-strings, complex ones, and those not in base ten.
    """
    signed = {id(place.node.operand) for place in source.of_type(ast.UnaryOp) if isinstance(place.node, ast.UnaryOp)}
    numbers = [place for place in source.of_type(ast.Constant) if id(place.node) not in signed]
    found = [_numeral(source, place) for place in [*numbers, *source.of_type(ast.UnaryOp)]]
    return sorted((numeral for numeral in found if numeral is not None), key=lambda numeral: numeral.start)


def _value(node: ast.expr) -> int | float | None:
    """Returns the value of a number with or without a minus sign; None for any other expression."""
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    constant = node.operand if isinstance(node, ast.UnaryOp) else node
    value = constant.value if isinstance(constant, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if constant is not node and not negative:
        return None  # `~1` and `+1` are left alone
    return -value if negative else value


def _numeral(source: PythonSource, place: Place) -> Numeral | None:
    node = place.node
    value = _value(node)
    if value is None or not math.isfinite(value) or abs(value) > LARGEST:
        return None
    span, text = source.span(node), source.segment(node).lstrip("-( \t")
    if text[:1] not in ".0123456789" or text[:2].lower() in ("0x", "0o", "0b"):
        return None
    parent = place.parent
    guarded = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Pow) and place.field == "left"
    guarded = guarded or (isinstance(parent, ast.Attribute | ast.Subscript) and place.field == "value")
    return Numeral(span.start, span.end, value, _weight(place, value), guarded and not source.parenthesised(node))


def _weight(place: Place, value: int | float) -> float:
    if isinstance(value, float):
        return _FLOAT_WEIGHT
    parent = place.parent
    structural = (
        place.field == "slice"
        or isinstance(parent, ast.Slice | ast.keyword)
        or (isinstance(parent, ast.Tuple) and len(parent.elts) > 1 and place.field == "elts")
        or (isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Pow) and place.field == "right")
    )
    if structural:
        return STRUCTURAL_WEIGHT
    return weight_of(value)


def weight_of(value: int | float) -> float:
    """How readily a number is changed that shapes nothing."""
    if isinstance(value, float):
        return _FLOAT_WEIGHT
    return _SMALL_INT_WEIGHT if abs(value) <= 2 else _INT_WEIGHT


def rewritten(source: Numbered, numeral: Numeral, value: int | float) -> Span:
    """Replaces a number in the text, keeping it apart from the words beside it."""
    text = repr(value)
    if numeral.guarded and text.startswith("-"):
        text = f"({text})"
    before = source.text[numeral.start - 1 : numeral.start]
    if before.isidentifier() or before.isdigit():
        text = f" {text}"  # `return-1` must not become `return1`
    return Span(numeral.start, numeral.end, text)


def skeleton(sources: Sequence[Numbered]) -> tuple[str, ...]:
    """Returns the text of the files with every tunable number blanked out, an integer told from a float.

    Programs with equal skeletons differ in those numbers only, so that their values can be mixed position by position.
    Text rather than trees: tuning keeps all text, and comparing trees costs more than everything else together.
    """
    blanked = []
    for source in sources:
        spans = [Span(n.start, n.end, "\0i" if isinstance(n.value, int) else "\0f") for n in source.numerals]
        blanked += [source.path, splice(source.text, spans)]
    return tuple(blanked)


def could_match(one: str, other: str) -> bool:
    """Tells cheaply whether two texts could have the same skeleton, so that most need not be parsed."""
    return all(one.count(character) == other.count(character) for character in _TELLTALES)


def digits_for(value: float, change: float) -> int:
    """Says how many significant digits show a change of this size with three digits to spare."""
    if value == 0 or change == 0:
        return MIN_DIGITS
    return min(MAX_DIGITS, max(MIN_DIGITS, math.ceil(math.log10(abs(value / change))) + 3))


def shortened(value: float, digits: int) -> float:
    """Rounds to significant digits."""
    return float(f"{value:.{digits}g}")
