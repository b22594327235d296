"""What a method of balancing may define, and what each of its functions may ask for by name; nothing here imports torch.

A method is a program: one file whose top level defines some of the hooks. A hook's parameters name what it wants to be given,
and only that is handed over.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from evolve.evaluators.base import Invalid


@dataclass(frozen=True, slots=True)
class Array:
    """An input or output of a hook.

    Attributes:
        dimensions: One letter each: L layers, B sequences, T tokens, M micro-batches, E experts, R rows of memory.
        dtype: Of its numbers.
        differentiated: Whether gradients flow back through it.
    """

    dimensions: str
    dtype: str = "float32"
    differentiated: bool = False

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(sizes[letter] for letter in self.dimensions)


@dataclass(frozen=True, slots=True)
class Hook:
    """A function that a method may define.

    Attributes:
        inputs: What it may ask for.
        outputs: What it returns, in this order; empty for hooks that take and return plain data.
    """

    inputs: Mapping[str, Array | None]
    outputs: Mapping[str, Array]


_SCALAR = Array("", "int64")
_MOMENT = {"step": _SCALAR, "training": Array("", "bool")}
_LAYER = {"layer": _SCALAR, "bias": Array("E"), "memory": Array("RE"), "widths": Array("E"), **_MOMENT}
_LAYERS = {
    "bias": Array("LE"),
    "memory": Array("LRE"),
    "widths": Array("E"),
    "k": Array("L", "int64"),
    "load": Array("LE"),
    "mask": Array("LTE", "bool"),
    "step": _SCALAR,
    "steps": _SCALAR,
}


def _plain(*names: str) -> Hook:
    return Hook(dict.fromkeys(names), {})


HOOKS: Mapping[str, Hook] = MappingProxyType(
    {
        "init": _plain("experts", "k", "layers"),
        "cost": _plain("widths"),
        "schedule": _plain("step", "steps", "layers", "experts", "k"),
        "score": Hook(
            {"logits": Array("TE", differentiated=True), "noise": Array("TE"), **_LAYER},
            {"selection": Array("TE"), "gates": Array("TE")},
        ),
        "select": Hook(
            {"selection": Array("TE"), "uniform": Array("TE"), "k": _SCALAR, **_LAYER},
            {"mask": Array("TE", "bool")},
        ),
        "gate": Hook(
            {"gates": Array("TE", differentiated=True), "mask": Array("TE", "bool"), "k": _SCALAR, **_LAYER},
            {"weights": Array("TE")},
        ),
        "loss": Hook(
            {
                "logits": Array("LTE", differentiated=True),
                "probability": Array("LE", differentiated=True),
                "micro_probability": Array("LME", differentiated=True),
                "sequence_probability": Array("LBE", differentiated=True),
                "micro_load": Array("LME"),
                "running_load": Array("LME"),
                "sequence_load": Array("LBE"),
                **_LAYERS,
            },
            {"loss": Array("")},
        ),
        "update": Hook(
            {
                "counts": Array("LE"),
                "probability": Array("LE"),
                "scores": Array("LTE"),
                "contribution": Array("LE"),
                **_LAYERS,
            },
            {"bias": Array("LE"), "memory": Array("LRE")},
        ),
    }
)

#: Expressions whose names are their own.
_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

#: Hooks that treat tokens one by one.
PER_TOKEN = ("score", "select", "gate")


def hooks_of(source: str, allowed: Sequence[str] = tuple(HOOKS)) -> dict[str, tuple[str, ...]]:
    """Reads which hooks a program defines and what each asks for; the program is not run.

    Args:
        source: The program's first file.
        allowed: Hooks that the task leaves to programs.

    Returns:
        Names of inputs by hook, for the hooks that there are.

    Raises:
        Invalid: If the source is not Python, a hook is not allowed or not a plain function, or asks for what there is not.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Invalid(f"the program cannot be read: {error}") from None
    found: dict[str, tuple[str, ...]] = {}
    for node in tree.body:
        for name in _bound(node):
            if name not in HOOKS:
                continue
            if name not in allowed:
                raise Invalid(f"the program defines {name}; this task leaves to it: {', '.join(allowed)}")
            if not isinstance(node, ast.FunctionDef) or node.decorator_list:
                raise Invalid(f"{name} must be a function, written with def at the top level and without decorators")
            found[name] = _asked(node)
    return found


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement of the top level gives a value, but for those within other functions, classes and comprehensions."""
    waiting: list[ast.AST] = [statement]  # not by recursion: how deep programs are nested is up to them
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif not isinstance(node, _SCOPES):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                yield node.name
            waiting.extend(ast.iter_child_nodes(node))


def _asked(node: ast.FunctionDef) -> tuple[str, ...]:
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        raise Invalid(f"{node.name} must name its inputs, without *, ** or /")
    names = tuple(argument.arg for argument in (*arguments.args, *arguments.kwonlyargs))
    unknown = [name for name in names if name not in HOOKS[node.name].inputs]
    if unknown:
        raise Invalid(f"{node.name} asks for {', '.join(unknown)}; it may ask for: {', '.join(HOOKS[node.name].inputs)}")
    return names
