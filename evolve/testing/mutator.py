"""What every mutator must do: inherit `MutatorContract`, supply `make`, and let pytest collect it."""

from __future__ import annotations

import ast
import asyncio
import copy
from collections.abc import Mapping

import numpy as np
import pytest

from evolve.edits import check_edit
from evolve.mutation import MutationFailed, MutationRequest, Mutator, Scored
from evolve.program import Evaluation, Files, Outcome, Program, Reply, Task

_PLAIN = '''\
"""Spirals, and what they cost."""
import math

TURNS = 3
RATE = -0.25  # shrinks


def spiral(n, growth=1.5):
    """Places n points; the docstring's 7 stays."""
    points = []
    total = 0.0
    for i in range(n):
        angle = TURNS * math.sin(i / n) + 0.1
        radius = growth * i ** 2 + 0.5
        total += radius * math.cos(angle)
        if total > 10.0 and i > 1:
            total = total * 0.5
        points.append((radius, angle))
    return points, total


def cost(n):
    points, total = spiral(n)
    best = min(total, 1.0)
    best += RATE
    return best
'''
_MARKED = f"""\
FIXED = [1, 2, 3]
# EVOLVE-BLOCK-START
{_PLAIN}# EVOLVE-BLOCK-END

def untouched(x):
    return x + 1.5
    # EVOLVE-BLOCK-START
def second(y):
    y = y * 2.5
    y += 0.75
    return y
    # EVOLVE-BLOCK-END
"""
_UNICODE = _MARKED.replace("total", "größe").replace("# shrinks", "# 縮む 🙂").replace("cost", "κόστος")
_FORMS = '''\
def forms(x: "int" = 3, *, y: float = -0.5) -> tuple[int, 3]:
    """Strange but legal."""
    text = f"{x + 1:>{4}.2f} and {y * 2!r}" "more 12" r"\\d"
    z = (-2) ** 2 + 2 ** -1 - -3.5 + 1_000 * 0xFF + .5j.imag + (  # a comment, 12
        x
        + 7.25
    ); w = z if z else-1.5
    match x:
        case 1 | -2:
            w = w - 0.125
        case [3, *rest] if len(rest) > 2:
            w = 4.0
        case _:
            w = 5.5
    try: w = w / x
    except ZeroDivisionError: return-1.25
    return [i * w for i in range(3)][-1], lambda q, r=2: q // r, text, \\
        w
'''
_SOURCES: Mapping[str, Files] = {
    "without markers": {"main.py": _PLAIN},
    "with markers": {"main.py": _MARKED},
    "with Unicode": {"main.py": _UNICODE},
    "with tabs": {"main.py": _MARKED.replace("    ", "\t")},
    "with CRLF": {"main.py": _MARKED.replace("\n", "\r\n")},
    "with strange forms": {"main.py": _FORMS},
    "several files": {"lib/extra.py": _PLAIN, "main.py": _MARKED, "data.txt": "1 2 3\n", "fixed.py": "X = 1.5\n"},
}
_TASK = Task("contract", {"main.py": _PLAIN})


def scored(files: Files, step: int = 0, objective: float = 1.0) -> Scored:
    """Makes a scored program of a source."""
    return Scored(Program.make(step, files), Evaluation(Outcome.OK, objective))


def varied(files: Files) -> Files:
    """Makes a relative of one of the contract's sources, such as an inspiration would be: some of its text is different."""
    words = {
        "0.75": "0.625",
        "angle = ": "angle = 2.0 * ",
        "best = min": "best = 3.5 - min",
        "w = 4.0": "w = -w",
        "w = 5.5": "w = x",
    }
    out = dict(files)
    for path in out.keys() - {"fixed.py"}:
        for old, new in words.items():
            out[path] = out[path].replace(old, new)
    return out


class MutatorContract:
    """The contract of `evolve.mutation.Mutator`, as tests.

    Attributes:
        draws: Random generators tried on each source.
        repeatable: Whether all chance comes from the generator; models override it with False.
    """

    draws = 12
    repeatable = True

    def make(self) -> Mutator:
        """Makes the mutator under test; called once per test."""
        raise NotImplementedError("return the mutator under test from make()")

    def unchangeable(self) -> MutationRequest | None:
        """Returns a request that the mutator has no answer to; None when it always has one."""
        return MutationRequest(_TASK, scored({"main.py": "pass"}))

    def request(self, files: Files) -> MutationRequest:
        """Asks for a child of a source, with two relatives of it as inspirations."""
        relative = scored(varied(files), step=1, objective=2.0)
        return MutationRequest(_TASK, scored(files), (relative, scored({**files}, step=2)))

    def test_has_a_name_for_tables_and_arms(self) -> None:
        """A name is a word without spaces."""
        name = self.make().name
        assert name
        assert name.split() == [name]

    def test_makes_children_of_every_kind_of_source(self) -> None:
        """Children differ, parse as their parents do, and keep to the regions."""
        mutator = self.make()
        for kind, files in _SOURCES.items():
            request = self.request(files)
            made = 0
            for draw in range(self.draws):
                child = self._child(mutator, request, draw)
                if child is not None:
                    made += 1
                    assert dict(child) != dict(files), f"{kind}, draw {draw}: the child is the parent"
                    check_edit(files, child)
                    for path in (path for path in child if path.endswith(".py")):
                        ast.parse(child[path], filename=path)
            assert made, f"{kind}: no child in {self.draws} draws"

    def test_same_request_and_generator_give_the_same_reply(self) -> None:
        """Also from a fresh mutator, and whatever it was asked before."""
        if not self.repeatable:
            return
        used = self.make()
        for files in _SOURCES.values():
            request = self.request(files)
            for draw in range(3):
                assert self._reply(used, request, draw) == self._reply(self.make(), request, draw)

    def test_apply_is_pure(self) -> None:
        """The same reply and parent give the same files, from any instance, and neither is touched."""
        for files in _SOURCES.values():
            request = self.request(files)
            reply = next(filter(None, (self._reply(self.make(), request, draw) for draw in range(self.draws))))
            parent, kept = request.parent.program, copy.deepcopy((reply, request.parent.program))
            mutator = self.make()
            first = mutator.apply(reply, parent)
            assert mutator.apply(reply, parent) == first == self.make().apply(reply, parent)
            assert (reply, parent) == kept

    def test_never_touches_the_request(self) -> None:
        """Programs are shared; nobody may change them in place."""
        mutator = self.make()
        for files in _SOURCES.values():
            request = self.request(files)
            kept = copy.deepcopy(request)
            self._reply(mutator, request, 0)
            assert request == kept

    def test_says_why_when_nothing_can_change(self) -> None:
        """`MutationFailed` with a message, never a child that is the parent."""
        request = self.unchangeable()
        if request is None:
            return
        with pytest.raises(MutationFailed, match=r"."):
            asyncio.run(self.make().generate(request, np.random.default_rng(0)))

    def test_refuses_a_garbled_reply(self) -> None:
        """A reply that nobody wrote is `MutationFailed`, with a message to act on."""
        parent = scored({"main.py": _MARKED}).program
        with pytest.raises(MutationFailed, match=r"."):
            self.make().apply(Reply("\0 not a reply"), parent)

    def _reply(self, mutator: Mutator, request: MutationRequest, draw: int) -> Reply | None:
        try:
            return asyncio.run(mutator.generate(request, np.random.default_rng(draw)))
        except MutationFailed:
            return None

    def _child(self, mutator: Mutator, request: MutationRequest, draw: int) -> Files | None:
        reply = self._reply(mutator, request, draw)
        return None if reply is None else mutator.apply(reply, request.parent.program)
