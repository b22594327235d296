"""Says what a task's ``evaluate.py`` asks of a program, for a model that is to write one and must not see how it is scored.

From its source come the names of the functions that it calls, with the names of their arguments, and its docstrings. Code and
constants stay here: they may hold answers, seeds and data that a program is not to know. Of ``holdout`` and ``paired``, which
no program meets in a search, nothing is said at all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

#: Methods of `IsolatedProgram` and its hooks whose first argument names a function of the program.
_CALL, _BINDS = "call", ("bind", "bind_loss", "bind_tensors")
_UNNAMED = "..."
_NOT_SHOWN = ("holdout", "paired")
_DOCUMENTED = ("evaluate", "smoke")


def calls(source: str) -> list[str]:
    """Lists the functions that an evaluator calls, each once, in its order: ``pack(n)``, ``minimize(..., ..., measure=...)``.

    Arguments go by the names of the variables that are passed; what is no variable is ``...``.

    Args:
        source: Text of ``evaluate.py``; one that does not parse calls nothing.
    """
    return list(dict.fromkeys(signature for call in _calls(source) if (signature := _signature(call))))


def docstrings(source: str) -> list[str]:
    """Lists the docstrings of an evaluator's module, of ``evaluate`` and of ``smoke``, those that there are."""
    tree = _parsed(source)
    documented: list[ast.Module | ast.FunctionDef] = [tree]
    documented += [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in _DOCUMENTED]
    return [text for node in documented if (text := ast.get_docstring(node))]


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # said where it is loaded
        return ast.Module([], [])


def _calls(source: str) -> list[ast.Call]:
    """Lists every call that an evaluator makes, in the order of the text, without those of what is not shown."""
    shown = [node for node in _parsed(source).body if not (isinstance(node, ast.FunctionDef) and node.name in _NOT_SHOWN)]
    found = [node for top in shown for node in ast.walk(top) if isinstance(node, ast.Call)]
    return sorted(found, key=lambda call: (call.lineno, call.col_offset))


def _signature(call: ast.Call) -> str:
    """Writes the call of a function of the program; empty for any other call."""
    if not isinstance(call.func, ast.Attribute) or not call.args:
        return ""
    method, name = call.func.attr, call.args[0]
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str) or not name.value.isidentifier():
        return ""
    if method == _CALL:
        return f"{name.value}({', '.join([*map(_argument, call.args[1:]), *_keywords(call.keywords)])})"
    if method in _BINDS:
        inputs = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "inputs")]
        return f"{name.value}({', '.join(key for node in inputs for key in _keys(node))})"
    return ""


def _argument(node: ast.expr) -> str:
    if isinstance(node, ast.Starred):
        return f"*{_argument(node.value)}"
    if isinstance(node, ast.Name):
        return node.id.lower()
    return node.attr if isinstance(node, ast.Attribute) else _UNNAMED


def _keywords(keywords: Sequence[ast.keyword]) -> Iterator[str]:
    for keyword in keywords:
        if keyword.arg == "callbacks":
            yield from _keys(keyword.value)
        elif keyword.arg is not None:
            yield f"{keyword.arg}={_UNNAMED}"


def _keys(node: ast.expr) -> list[str]:
    """Lists the keys of a dict display as keyword arguments; one that is made elsewhere is not known."""
    if not isinstance(node, ast.Dict):
        return [f"**{_UNNAMED}"]
    return [f"{key.value}={_UNNAMED}" for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
