"""Changes that put an expression's own parts, or another expression of the same function, in its place."""

from __future__ import annotations

import ast

import numpy as np

from evolve.edits import Span
from evolve.mutators.expressions import Tweak, is_number_place, is_textual, one, operand, pick, picks
from evolve.mutators.source import Place, PythonSource, called_name

_ORDERED = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_LARGEST_GRAFT = 120  # characters; pasting more makes programs swell


def keep_operand(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Shrinks ``a + b`` to one of its operands."""
    for place in picks(rng, source.of_type(ast.BinOp)):
        node = place.node
        assert isinstance(node, ast.BinOp)
        if not is_textual(node):
            kept = pick(rng, (node.left, node.right))
            return one(source, node, operand(source, kept), f"Keeps one operand of {source.segment(node)[:40]!r}.")
    return None


def exchange_operands(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Exchanges the operands of an operator that has an order, or two neighbouring arguments of a call."""
    for place in picks(rng, source.of_type(ast.BinOp, ast.Call)):
        node = place.node
        if isinstance(node, ast.BinOp):
            if not isinstance(node.op, _ORDERED) or is_textual(node):
                continue
            left, right = node.left, node.right
        else:
            assert isinstance(node, ast.Call)
            if len(node.args) < 2 or any(isinstance(argument, ast.Starred) for argument in node.args):
                continue
            first = int(rng.integers(len(node.args) - 1))
            left, right = node.args[first : first + 2]
        if source.segment(left) != source.segment(right):
            return _exchanged(source, left, right)
    return None


def _exchanged(source: PythonSource, left: ast.expr, right: ast.expr) -> Tweak:
    spans = []
    for target, fresh in ((left, right), (right, left)):
        region = source.span(target)
        text = source.segment(fresh) if source.parenthesised(target) else operand(source, fresh)
        spans.append(Span(region.start, region.end, text))
    return Tweak(f"Exchanges {source.segment(left)[:30]!r} and {source.segment(right)[:30]!r}.", tuple(spans))


def _can_move(place: Place) -> bool:
    return (
        place.field in ("left", "right", "args", "value", "comparators", "elt", "elts", "body", "orelse")
        and not isinstance(place.parent, ast.Attribute | ast.Subscript | ast.Expr | ast.Await | ast.Starred | ast.Lambda)
        and not isinstance(place.node, ast.Constant)
        and is_number_place(place)
    )


def graft(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Copies one expression over another of the same scope, from above it so that its names are bound."""
    for place in (place for place in picks(rng, source.places, 40) if _can_move(place)):
        region = source.span(place.node)
        for donor in picks(rng, source.places, 40):
            if donor.scope is not place.scope or donor.node.lineno > place.node.lineno or not _can_move(donor):
                continue
            there = source.span(donor.node)
            apart = there.end <= region.start or region.end <= there.start
            if apart and there.end - there.start <= _LARGEST_GRAFT:
                text = operand(source, donor.node)
                return one(source, place.node, text, f"Copies {text[:40]!r} over {source.segment(place.node)[:40]!r}.")
    return None


def range_bounds(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Lengthens, shortens, offsets or reverses a ``range``."""
    known = [place for place in source.of_type(ast.Call) if called_name(place.node) == "range"]
    for place in picks(rng, known):
        node = place.node
        assert isinstance(node, ast.Call)
        if not node.args or isinstance(node.func, ast.Attribute) or any(isinstance(a, ast.Starred) for a in node.args):
            continue
        bound = node.args[0] if len(node.args) == 1 else node.args[1]
        text = operand(source, bound)
        new = pick(rng, (f"{text} + 1", f"{text} - 1", f"{text} * 2", f"{text} // 2"))
        if len(node.args) == 1 and rng.random() < 0.3:
            new = pick(rng, (f"1, {source.segment(bound)}", f"0, {source.segment(bound)}, 2"))
        if rng.random() < 0.15:
            whole = source.segment(node)
            return one(source, node, f"reversed({whole})", f"Reverses {whole[:40]!r}.")
        return one(source, bound, new, f"Runs over range({new[:40]}).")
    return None


def negate_condition(source: PythonSource, rng: np.random.Generator) -> Tweak | None:
    """Turns the condition of an ``if`` around."""
    tests = [p for p in source.places if p.field == "test" and isinstance(p.parent, ast.If | ast.IfExp)]
    for place in picks(rng, tests, 1):
        text = source.segment(place.node)
        return one(source, place.node, f"not ({text})", f"Negates the condition {text[:40]!r}.")
    return None
