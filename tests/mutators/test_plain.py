"""Numbers of programs in other languages than Python."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from evolve.edits import mutable_regions
from evolve.mutation import MutationFailed, MutationRequest, Scored
from evolve.mutators.languages import comment, syntax_of
from evolve.mutators.literals import LiteralsConfig, LiteralTuning
from evolve.mutators.local import applicable, local_mutators
from evolve.mutators.numerals import rewritten
from evolve.mutators.plain import PlainSource
from evolve.mutators.recombine import Recombination
from evolve.mutators.statements import StatementMutation
from evolve.program import Evaluation, Outcome, Program, Task


def source_of(path, text):
    return PlainSource(path, text, mutable_regions({path: text})[path], syntax_of(path))


def numbers(path, text):
    return [numeral.value for numeral in source_of(path, text).numerals]


@pytest.mark.parametrize(
    ("path", "text", "values"),
    [
        ("a.cpp", "int x = 12; // 3 is not one\n/* nor\n4 */ double y = 5.5e-3f;", [12, 5.5e-3]),
        ("a.cpp", "puts(\"6 \\\" 7\"); char c = '8'; c = '\\n'; int n = 9;", [9]),
        ("a.cpp", 'auto s = R"x(10 )" 11)x"; int n = 12;', [12]),
        ("a.cpp", "#include <a1.h>\n#if 3 > 2\n#endif\n#define BLOCK 64\n  # define HALF 0.5", [64, 0.5]),
        ("a.cpp", "int32_t v1 = 0x1F + 0b11 + 017 + 1'000 + 5ULL + x2;", [1000, 5]),
        ("a.cpp", "f(-3, a-2, b - 1, return_ -4, (-5), i--1, x = -6.5);", [-3, 2, 1, 4, -5, 1, -6.5]),
        ("a.cpp", "return -1;\ncase -2: y = 0;", [-1, -2, 0]),
        ("a.rs", "for i in 0..10 { x.0 += 1.5_f64; let y: &'a str = 1_000.max(2); let c = '7'; }", [0, 10, 1.5, 1000, 2]),
        ("a.js", "const a = [1, 2.5]; let s = '3' + `4 ${5}` + \"6\"; // 7\nx.y2 = .5 + 10n;", [1, 2.5, 0.5, 10]),
        ("a.go", "const version = `1.2.3`; x := 1.2.3; y := 4", [4]),
        ("a.lua", "local x = 1 -- 2\n--[[ 3\n4 ]] y = -5", [1, -5]),
        ("a.jl", "x = 1 # 2\n#= 3\n4 =# y = 5", [1, 5]),
        ("a.m", "x = 1; y = [2 3];", [1, 2, 3]),
        ("a.lisp", "(setf x (- 1 -2)) ; 3\n#| 4 |# (f 5)", [1, -2, 5]),
        ("a.f90", "x = 1.5d0 ! 2\ny = -3", [1.5, -3]),
        ("a.hs", "f x = x * (-1.5) -- 2\n{- 3 -} g = 4", [-1.5, 4]),
        ("a.sql", "select 1 -- 2\n/* 3 */ where x > 4.5", [1, 4.5]),
        ("a.ml", "let x = 1 (* 2 *) +. 3.5", [1, 3.5]),
        ("a.html", '<!-- 1 --> <rect width="2">3</rect>', [3]),
        ("a.json", '{"a1": 2, "b": [-3.5]}', [2, -3.5]),
        ("a.cpp", "x = 1e30; y = 99999999999999999999;", []),
    ],
)
def test_finds_the_numbers_of_many_languages(path, text, values):
    found = numbers(path, text)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_file_of_no_known_language_has_none():
    assert syntax_of("data.txt") is None
    assert syntax_of("a.py") is None


@pytest.mark.parametrize(
    ("path", "text", "value", "expected"),
    [
        ("a.cpp", "y = x-2;", -3, "y = x-(-3);"),
        ("a.cpp", "y = x*2;", -3, "y = x*(-3);"),
        ("a.cpp", "f(2, 1)", -3, "f(-3, 1)"),
        ("a.cpp", "return-2;", 3, "return 3;"),
        ("a.cpp", "y = 1.0f;", 1e-05, "y = 1e-05f;"),
        ("a.js", "y = 2 ** x", -3, "y = (-3) ** x"),
        ("a.js", "y = (-2) ** x", -3, "y = (-3) ** x"),
        ("a.lisp", "(- 2 x)", -3, "(- -3 x)"),
        ("a.json", "[2]", -3, "[-3]"),
    ],
)
def test_writes_numbers_so_that_signs_stay_apart(path, text, value, expected):
    source = source_of(path, text)
    span = rewritten(source, source.numerals[0], value)
    assert text[: span.start] + span.text + text[span.end :] == expected


CPP = """\
// Fixed: 1 and 2.
const int LIMIT = 100;
// EVOLVE-BLOCK-START
const double RATE = 0.25;  // one of 3
int depth() { return 8; }
// EVOLVE-BLOCK-END
int main() { return 0; }
"""


def request(*sources):
    task = Task("t", sources[0])
    scored = [Scored(Program.make(step, files), Evaluation(Outcome.OK, 1.0)) for step, files in enumerate(sources)]
    return MutationRequest(task, scored[0], tuple(scored[1:]))


def child(mutator, asked, seed):
    reply = asyncio.run(mutator.generate(asked, np.random.default_rng(seed)))
    return mutator.apply(reply, asked.parent.program)


def test_children_of_a_program_in_cpp_differ_in_numbers_inside_its_block():
    files = {"main.cpp": CPP, "notes.txt": "12"}
    seen = set()
    for seed in range(30):
        made = child(LiteralTuning(), request(files), seed)
        rate, depth = (n.value for n in source_of("main.cpp", made["main.cpp"]).numerals)
        assert made == {"main.cpp": CPP.replace("0.25", repr(rate)).replace("return 8", f"return {depth}"), "notes.txt": "12"}
        assert type(rate) is float
        assert type(depth) is int
        seen |= {name for name, value, old in (("rate", rate, 0.25), ("depth", depth, 8)) if value != old}
    assert seen == {"rate", "depth"}


def test_differences_and_mixtures_of_such_programs_are_steps_too():
    other = {"main.cpp": CPP.replace("0.25", "0.75").replace("return 8", "return 16")}
    asked = request({"main.cpp": CPP}, other)
    for mutator in (Recombination(), LiteralTuning(LiteralsConfig(difference_rate=1.0))):
        rates = {source_of("main.cpp", child(mutator, asked, seed)["main.cpp"]).numerals[0].value for seed in range(20)}
        assert len(rates) > 3


def test_python_and_other_files_are_tuned_together():
    files = {"main.py": "x = 1.5\n", "kernel.cpp": "double y = 2.5;\n", "set.json": "[3.5]"}
    changed = set()
    for seed in range(30):
        made = child(LiteralTuning(), request(files), seed)
        changed |= {path for path in files if made[path] != files[path]}
    assert changed == set(files)


def test_the_other_mutators_say_that_they_do_not_apply():
    with pytest.raises(MutationFailed, match=r"this mutator changes Python files only, and none of main\.cpp"):
        child(StatementMutation(), request({"main.cpp": CPP}), 0)
    other = {"main.cpp": CPP.replace("return 8", "return 8 + 1")}
    with pytest.raises(MutationFailed, match="no inspiration has anything"):
        child(Recombination(), request({"main.cpp": CPP}, other), 0)
    with pytest.raises(MutationFailed, match="none is in a known language"):
        child(LiteralTuning(), request({"main.xyz": "1 2 3"}), 0)


def test_arms_that_could_never_change_a_program_are_left_out():
    names = [mutator.name for mutator in applicable(local_mutators(), {"main.cpp": CPP})]
    assert names == ["local/literals", "local/recombine"]
    assert len(applicable(local_mutators(), {"main.py": "x = 1", "main.cpp": CPP})) == 2
    assert len(applicable(local_mutators(), {"main.py": "x = 1"})) == 3


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("a.py", "# x"),
        ("a.rs", "// x"),
        ("a.sh", "# x"),
        ("a.hs", "-- x"),
        ("a.tex", "% x"),
        ("a.scm", "; x"),
        ("a.f90", "! x"),
        ("a.svg", "<!-- x -->"),
        ("a.ml", "(* x *)"),
        ("a.json", ""),
        ("Makefile", ""),
    ],
)
def test_a_comment_is_written_as_the_language_has_it(path, written):
    assert comment(path, "x") == written
