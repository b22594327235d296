"""The three local mutators on real files: whatever they do, children parse and nothing outside the regions moves."""

from __future__ import annotations

import ast
import importlib
import inspect

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation_kit import reply_of, request, scored

from evolve.edits import check_edit, mutable_regions
from evolve.mutation import MutationFailed
from evolve.mutators.local import local_mutators
from evolve.program import Program

CHILDREN = {"bisect": 100, "colorsys": 100}
#: The last is two to four times as long as the others, and a child of it takes as much longer.
MANY_CHILDREN = {"heapq": 200, "textwrap": 200, "shlex": 200, "statistics": 60}
STRANGE = (
    "x = 1",
    "x = 1;y = 2\n",
    "def f(a=1, *b, c: int = -2, **d): return a if c else-b[-1]\n",
    "async def f(x):\n  async with x as y, y: await x(1, *y)\n  return [i async for i in y if i > 1.5]\n",
    "x = (\n  1  # one\n  +\n  2 # two\n)\nassert x, 'x' 'y'\n",
    "if x:\n\ty = 1\nelif z:\n\ty = 2.5\nelse:\n\ty = 3\n",
    "class A(B, metaclass=C):\n    '''7'''\n    x: int = 3\n    @property\n    def y(self): return self.x ** -2\n",
    "try:\n    x = 1 / y\nexcept (A, B) as e:\n    raise C(2) from e\nelse:\n    x -= 1\nfinally:\n    del x\n",
    "lambda x, y=1: (yield)\nprint(f'{x!r:>{w}} {1 + 2}', sep='', *[1, 2])\n",
    "x = y = 2\nwith open('a') as (b, c), d: pass\nwhile (n := n - 1) > 0: x += n\n",
    "match x:\n    case {'a': 1, **rest} if rest: y = 1\n    case A(b=-2.5) | [1, *_]:\n        y = 2\n",
    "def f():\n    global g\n    g = x = 1\n    def h():\n        nonlocal x\n        x += 2\n        return x\n    return h\n",
    "ñ = 'é🙂'; x = ñ + 'ü' * 3\r\nif x: y = 1 ; z = 2\r\n",
    "x = not-1\ny = 1if x else 2\nz = x<-1>-2\n",
)


def text_of(module: str) -> str:
    return inspect.getsource(importlib.import_module(module))


def marked(text: str, first: float, last: float) -> str:
    """Puts markers around a run of top-level statements."""
    body = ast.parse(text).body
    lines = text.splitlines(keepends=True)
    starts = [min([s.lineno, *(d.lineno for d in getattr(s, "decorator_list", ()))]) - 1 for s in body]
    start = starts[int(first * (len(starts) - 1))]
    end = body[max(int(last * (len(body) - 1)), starts.index(start))].end_lineno
    return "".join([*lines[:start], "# EVOLVE-BLOCK-START\n", *lines[start:end], "# EVOLVE-BLOCK-END\n", *lines[end:]])


def check_child(parent: str, child: str) -> None:
    assert child != parent
    compile(child, "child", "exec", dont_inherit=True)
    check_edit({"a.py": parent}, {"a.py": child})
    here, there = mutable_regions({"a.py": parent})["a.py"], mutable_regions({"a.py": child})["a.py"]
    assert parent[: here[0].start] == child[: there[0].start]
    assert parent[here[-1].end :] == child[there[-1].end :]


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")  # of the children's text
@pytest.mark.parametrize("which", [0, 1, 2], ids=["literals", "statements", "recombine"])
@pytest.mark.parametrize(
    ("module", "children"),
    [*CHILDREN.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in MANY_CHILDREN.items())],
)
def test_hundreds_of_children_of_a_real_file_are_sound(module, children, which):
    mutators = local_mutators()
    text = marked(text_of(module), 0.2, 0.95)
    parent, relatives, made = scored(text), [], 0
    for seed in range(12):
        child = mutators[1].apply(reply_of(mutators[1], request(scored(text)), seed), parent.program)["a.py"]
        relatives.append(scored(child, step=seed + 1, objective=float(seed)))
    for seed in range(children):
        rng = np.random.default_rng(seed)
        parent = relatives[int(rng.integers(12))]
        others = [relatives[index] for index in rng.integers(12, size=3).tolist()]
        try:
            reply = reply_of(mutators[which], request(parent, *others), seed)
        except MutationFailed:
            continue
        check_child(parent.program.files["a.py"], mutators[which].apply(reply, parent.program)["a.py"])
        made += 1
    assert made > children * 0.8


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(STRANGE), min_size=1, max_size=3), st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_strange_but_legal_code_survives(pieces, seed, which):
    pieces = [piece if piece.endswith("\n") else piece + "\n" for piece in pieces]
    text = "# EVOLVE-BLOCK-START\n" + "".join(pieces) + "# EVOLVE-BLOCK-END\nlast = 1\n"
    try:
        compile(text, "parent", "exec", dont_inherit=True)
    except SyntaxError:  # two pieces that do not go together
        return
    mutators = local_mutators()
    relative = scored(text.replace("2", "3").replace("1\n", "4\n", 1).replace("last = 4", "last = 1"), step=1)
    parent = scored(text)
    try:
        reply = reply_of(mutators[which], request(parent, relative), seed)
    except MutationFailed:
        return
    check_child(text, mutators[which].apply(reply, parent.program)["a.py"])


def test_all_three_are_listed_by_the_names_that_arms_use():
    assert [mutator.name for mutator in local_mutators()] == ["local/literals", "local/statements", "local/recombine"]


def test_children_can_come_from_any_region_of_any_python_file():
    files = {"a.py": "x = 1.5\n", "lib/b.py": "y = 2.5\nz = y * x\n", "c.txt": "3.5\n"}
    parent = Program.make(0, files)
    for mutator in local_mutators()[:2]:
        changed = set()
        for seed in range(60):
            asked = request(scored("x = 1\n"))
            asked = type(asked)(asked.task, asked.parent._replace(program=parent))
            child = mutator.apply(reply_of(mutator, asked, seed), parent)
            changed |= {path for path in files if child[path] != files[path]}
        assert changed == {"a.py", "lib/b.py"}
