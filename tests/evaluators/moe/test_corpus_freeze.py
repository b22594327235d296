import ast

import pytest

from evolve.errors import EvolveError
from evolve.evaluators.moe.corpus.freeze import docstrings, freeze, read_module, without_docstrings
from evolve.evaluators.moe.corpus.pack import read_pack

LONG = "Returns the answer, which is longer than forty characters."


def test_docstrings_are_taken_out_and_code_stays_what_it_was():
    source = f'''# A comment.
"""{LONG}

More of it.
"""
x = "no docstring"


class A:
    """{LONG}"""

    def f(self): "short"

    def g(self):
        """Short too."""; return 1

    async def h(self):
        """{LONG}"""
        return 2
'''
    assert without_docstrings(source) == (
        '# A comment.\nx = "no docstring"\n\n\nclass A:\n\n    def f(self): pass\n\n'
        "    def g(self):\n        pass; return 1\n\n    async def h(self):\n        return 2\n"
    )
    assert list(docstrings(source)) == [f"{LONG}\n\nMore of it.", LONG, LONG]


def test_a_form_feed_ends_no_line():
    assert without_docstrings("x = 1\n\f\ndef f():\n    '''Says.'''\n    return 1\n") == "x = 1\n\f\ndef f():\n    return 1\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("# Copyright 2007 Somebody Inc.\n", r"carries a notice: '# Copyright 2007 Somebody Inc\.'; leave the module out"),
        ("# SPDX-License-Identifier: MIT\n", "carries a notice"),
        ("x = 'é'\n", "not ASCII at 5; leave the module out"),
    ],
)
def test_a_module_with_another_notice_or_alphabet_is_refused(tmp_path, source, message):
    (tmp_path / "m.py").write_text(source, encoding="utf-8")
    with pytest.raises(EvolveError, match=message):
        read_module(tmp_path, "m")


def test_the_foundations_own_notice_is_kept(tmp_path):
    source = "# Copyright (C) 2001-2007 Python Software Foundation\n"
    (tmp_path / "m.py").write_text(source)
    assert read_module(tmp_path, "m") == source


def test_a_docstring_that_is_trained_on_is_not_held_out(tmp_path):
    (tmp_path / "a.py").write_text(f'"""{LONG}"""\nx = 1\n')
    (tmp_path / "b.py").write_text(f'"""{LONG}"""\ndef f():\n    """{LONG} Really."""\n')
    texts = freeze(tmp_path, {"held_out": ["b"], "code": ["a"], "prose": []}).texts
    assert texts["prose"].training == f"{LONG}\0".encode()
    assert texts["prose"].held_out == f"{LONG} Really.\0".encode()
    assert texts["code"].training == b"x = 1\n\0"
    assert texts["code"].held_out == b"def f():\n    pass\n\0"


def test_code_in_the_pack_is_python_without_docstrings():
    # Held out only: parsing all of it takes seconds. Newer Pythons still parse what 3.11 parsed.
    for document in read_pack().texts["code"].held_out[:-1].split(b"\0"):
        tree = ast.parse(document)
        nodes = [
            node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        assert not [node for node in nodes if ast.get_docstring(node) is not None]
