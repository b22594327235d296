"""Parsed sources: positions, regions, scopes, and the cache."""

from __future__ import annotations

import ast

import pytest
from mutation_kit import source_of

from evolve.edits import Region
from evolve.mutators.source import PythonSource, SourceCache, parsed


@pytest.mark.parametrize(
    "text", ["é = 'ü'; x = añb + 1\n", "if a:\r\n\tx = '🙂' + b\r\n", "x = 1\ry = (2 +\r z)\r", "\fx = a + b\n"]
)
def test_positions_agree_with_the_text(text):
    source = source_of(text)
    for place in source.places:
        if isinstance(place.node, ast.Name):
            assert source.segment(place.node) == place.node.id
        if isinstance(place.node, ast.Constant):
            assert ast.literal_eval(source.segment(place.node)) == place.node.value


def test_places_outside_the_regions_are_not_seen():
    text = "a = 1\n# EVOLVE-BLOCK-START\nb = 2\n# EVOLVE-BLOCK-END\nc = 3\n# EVOLVE-BLOCK-START\nd = 4\n# EVOLVE-BLOCK-END\n"
    assert {place.node.value for place in source_of(text).of_type(ast.Constant)} == {2, 4}


def test_an_expression_across_two_regions_is_in_neither():
    text = "x = [\n# EVOLVE-BLOCK-START\n1,\n# EVOLVE-BLOCK-END\n# EVOLVE-BLOCK-START\n2,\n# EVOLVE-BLOCK-END\n]\n"
    assert sorted(type(place.node).__name__ for place in source_of(text).places) == ["Constant", "Constant"]


def test_names_are_seen_from_where_python_sees_them():
    text = "m = 1\nclass C:\n    k = 2\n    def f(self, a):\n        b = [c for c in a]\n        return 0.5\n"
    place = next(p for p in source_of(text).of_type(ast.Constant) if p.node.value == 0.5)
    assert {name for scope in place.scope.chain() for name in scope.bound} == {"m", "C", "self", "a", "b"}


def test_a_thousand_levels_are_walked():
    source = source_of("x = " + " + ".join(["1.5"] * 900) + "\n")
    assert len(source.numerals) == 900


@pytest.mark.parametrize("text", ["x = (", "x\0", "\ufeffx = 1", "(" * 10_000])
def test_whatever_keeps_a_text_from_parsing_is_a_syntax_error(text):
    with pytest.raises(SyntaxError):
        parsed(text)


def test_warnings_of_the_text_do_not_come_out():
    parsed("x = '\\d' if 1is 1 else 0\n")


def test_the_cache_parses_once_and_forgets_the_oldest():
    cache = SourceCache(size=2)
    first = cache.source("a.py", "x = 1\n", (Region(0, 6),))
    assert cache.source("a.py", "x = 1\n", (Region(0, 6),)) is first
    cache.source("a.py", "x = 2\n", (Region(0, 6),))
    cache.source("a.py", "x = 3\n", (Region(0, 6),))
    assert cache.source("a.py", "x = 1\n", (Region(0, 6),)) is not first


def test_only_python_files_that_parse_and_may_change_are_sources():
    files = {"b.py": "x = 1\n", "a.py": "y = 2\n", "c.c": "int x;", "d.py": "x = ("}
    assert [source.path for source in SourceCache().sources(files)] == ["a.py", "b.py"]
    assert isinstance(SourceCache().sources(files)[0], PythonSource)
