import ast
import io
import tokenize
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evolve
from evolve.archive.embeddings import pack, unpack
from evolve.archive.novelty import SLACK, NoveltyConfig, NoveltyScreen, fingerprint
from evolve.archive.records import Verdict

SOURCES = sorted(Path(evolve.__file__).parent.glob("*.py"))
BASE = "def f(x, y=0.5):\n    if x:\n        return x * y + 10\n    return 'a'\n"


def same(one: str, two: str, path: str = "p.py") -> bool:
    return fingerprint({path: one}) == fingerprint({path: two})


@pytest.mark.parametrize(
    "text",
    [
        "# first\n" + BASE,
        BASE.replace("x:\n", "x:  # why\n").replace("return x", "# a comment\n\n        return x"),
        BASE.replace("\n    ", "\n  ").replace("\n        ", "\n      "),
        BASE.replace("0.5", "0.50").replace("10", "1_0"),
        BASE.replace("0.5", "5e-1").replace("10", "0xA"),
        BASE.replace("'a'", '"a"'),
        BASE.replace(" * ", "*").replace("x, y", "x,   y"),
        BASE.replace("(x, y", "(\n    x,\n\n    y"),
        BASE.replace("x * y", "x * \\\n y"),
        BASE.replace("    if", '    """Does it."""\n    if'),
        '"""A module."""\n' + BASE,
        "\n\n" + BASE.replace("\n", "  \n") + "\n\n",
        BASE.replace("\n", "\r\n"),
        BASE.rstrip(),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(text):
    assert ast.parse(text)
    assert same(BASE, text)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 0.0", "x = -0.0"),
        ("x = 1j", "x = 1"),
        ("x = 0.1", "x = 0.10000000000000002"),
        ("x = 'a b'", "x = 'a  b'"),
        ("x = 'a'", "x = b'a'"),
        ("x = 'a'", "x = f'a'"),
        ("x = a", "x = 'a'"),
        ("x = '#'", "x = ''  #'"),
        ("x = 'a' 'b'", "x = 'a', 'b'"),
        ("x = ab", "x = a + b"),
        ("if x:\n  y = 1\nz = 1", "if x:\n  y = 1\n  z = 1"),
        ("for i in x:\n  if i:\n    y = 1\n  z = 1", "for i in x:\n  if i:\n    y = 1\n    z = 1"),
        ("x = [1, 2]", "x = [1, -2]"),
        ("x = a < b", "x = a <= b"),
        ("x = (1)", "x = (1,)"),
        ("assert x", "x"),
        ("x = 1", "y = 1"),
        ("x = 1\n'note'", "x = 1\nnote"),
        ("def f():\n  'doc'\nprint(f.__doc__)", "def f():\n  'other'\nprint(f.__doc__)"),
        ("def f():\n  'doc'\n  return 1", "def f():\n  b = 'doc'\n  return 1"),
        ("def f():\n  f'{g()}'\n  return 1", "def f():\n  return 1"),
        ('x = """a\n  b"""', 'x = """a\n b"""'),
        ("x = r'\\n'", "x = '\\n'"),
        ('"one"\n"two"\nfrom __future__ import annotations', '"one"\nfrom __future__ import annotations'),
        ('x = """a" "b"', 'x = "" "a" "b"'),
        ("x = 012", "x = 12"),
        ("x = 1\\\n2", "x = 12"),
        ("# coding: latin-1\nx = 'é'", "x = 'é'"),
        ("x = 1 # a\ry = 2", "x = 1"),
    ],
)
def test_what_changes_a_program_changes_its_fingerprint(one, two):
    assert not same(one, two)


def test_two_decimals_that_are_one_double_are_the_same_number():
    assert same("x = 0.1", "x = 0.1000000000000000055")


@pytest.mark.parametrize(
    "text", ["x = (1", "x = 'a", "if x:\n    a\n  b", "x = $", "\x00", "\tx = 1", "x = 1)", 'x = """a', "x = 1_", "\ud800"]
)
def test_what_cannot_be_read_is_compared_as_text(text):
    assert same(text, f"{text}\n\n")
    assert not same(text, f"# note\n{text}")


def test_other_languages_are_compared_as_text_without_blank_lines_and_trailing_spaces():
    assert same("int x;\nint y;\n", "int x;  \n\nint y;", "p.c")
    assert not same("int x;", "int  x;", "p.c")
    assert not same("int x; // note", "int x;", "p.c")


def test_paths_count_and_their_order_does_not():
    one = {"a.py": "x = 1", "b.py": "y = 2"}
    assert fingerprint(one) == fingerprint(dict(reversed(one.items())))
    assert fingerprint(one) != fingerprint({"a.py": "y = 2", "b.py": "x = 1"})
    assert fingerprint({"a.py": "x = 1"}) != fingerprint({"a.c": "x = 1"})


def test_text_cannot_pass_for_tokens():
    assert fingerprint({"p.py": "x=1"}) != fingerprint({"p.txt": "x\0=\x001\0\n"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_comments_and_blank_lines_anywhere_make_no_difference(path):
    text = path.read_text(encoding="utf-8")
    ends = {token.end[0] for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.NEWLINE}
    lines = [
        line + ("   # note\n\n      # more" if number in ends else "") for number, line in enumerate(text.split("\n"), start=1)
    ]
    noisy = "\n".join(lines)
    assert ast.dump(ast.parse(noisy)) == ast.dump(ast.parse(text))
    assert same(text, noisy)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_change_of_any_token_makes_a_difference(path):
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    before = fingerprint({"p.py": text})
    names = [
        t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type in (tokenize.NAME, tokenize.NUMBER, tokenize.OP)
    ]
    for token in names[:: max(1, len(names) // 25)]:
        row, (start, end) = token.start[0] - 1, (token.start[1], token.end[1])
        changed = [*lines[:row], lines[row][:start] + f"{token.string} other" + lines[row][end:], *lines[row + 1 :]]
        assert fingerprint({"p.py": "\n".join(changed)}) != before


@given(st.text(alphabet="ab1.0'\"#\\\n ()f{}=:", max_size=30), st.text(alphabet="ab1.0'\"#\\\n ()f{}=:", max_size=30))
def test_programs_with_one_fingerprint_have_one_syntax_tree(one, two):
    if same(one, two):
        assert _tree(one) == _tree(two)


@given(st.text(alphabet="ab1.0'\"#\\\n ()f{}=:x", max_size=40))
def test_noise_keeps_the_syntax_tree_whenever_it_keeps_the_fingerprint(text):
    for noisy in (f"\n{text}\n", f"#\n{text}", text.replace(" ", "  "), text.replace("'", '"')):
        if same(text, noisy):
            assert _tree(noisy) == _tree(text)


def _tree(text: str) -> str | None:
    """Dumps the syntax tree without docstrings; None for what does not parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and _is_text(body[0].value):
            del body[0]
    return ast.dump(tree)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


# Screening


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def test_a_fingerprint_is_known_from_its_version_on():
    screen = NoveltyScreen(NoveltyConfig())
    screen.add(0, "initial", "aa", None)
    screen.add(3, "later", "bb", None)
    assert screen.check(5, 0, 2, "bb", None).verdict is Verdict.NEW
    known = screen.check(5, 1, 3, "bb", None)
    assert (known.step, known.attempt, known.version, known.verdict, known.nearest) == (5, 1, 3, Verdict.KNOWN, "later")


def test_the_first_program_keeps_a_fingerprint():
    screen = NoveltyScreen(NoveltyConfig())
    screen.add(0, "initial", "aa", None)
    screen.add(1, "copy", "aa", None)
    assert screen.check(2, 0, 1, "aa", None).nearest == "initial"


def test_identity_alone_computes_no_similarity():
    screen = NoveltyScreen(NoveltyConfig())
    screen.add(0, "initial", "aa", unit(1, 0))
    found = screen.check(1, 0, 0, "bb", unit(1, 0))
    assert (found.verdict, found.nearest, found.similarity) == (Verdict.NEW, None, None)


def test_the_nearest_program_is_named_with_its_cosine():
    screen = NoveltyScreen(NoveltyConfig(max_similarity=0.99))
    screen.add(0, "east", "a", unit(1, 0))
    screen.add(1, "north", "b", unit(0, 1))
    found = screen.check(2, 0, 1, "c", unit(3, 4))
    assert (found.verdict, found.nearest) == (Verdict.NEW, "north")
    assert found.similarity == pytest.approx(0.8, abs=1e-3)  # embeddings are compared in half precision


def test_too_near_is_rejected():
    screen = NoveltyScreen(NoveltyConfig(max_similarity=0.75))
    screen.add(0, "north", "b", unit(0, 1))
    assert screen.check(2, 0, 0, "c", unit(3, 4)).verdict is Verdict.NEAR


def test_a_screen_sees_exactly_its_version():
    early, late = NoveltyScreen(NoveltyConfig(max_similarity=0.9)), NoveltyScreen(NoveltyConfig(max_similarity=0.9))
    rng = np.random.default_rng(0)
    rows = [unit(*rng.normal(size=64)) for _ in range(60)]
    for version, row in enumerate(rows[:40]):
        early.add(version, f"p{version}", f"f{version}", row)
    for version, row in enumerate(rows):
        late.add(version, f"p{version}", f"f{version}", row)
    for probe in rows:
        assert early.check(50, 0, 39, "new", probe) == late.check(50, 0, 39, "new", probe)


def test_only_the_latest_embeddings_are_compared():
    screen = NoveltyScreen(NoveltyConfig(max_similarity=0.9, memory=2))
    for version, row in enumerate([unit(1, 0, 0), unit(0, 1, 0), unit(0, 0, 1)]):
        screen.add(version, f"p{version}", f"f{version}", row)
    assert screen.check(9, 0, 1, "new", unit(1, 0, 0)).verdict is Verdict.NEAR
    assert screen.check(9, 0, 2, "new", unit(1, 0, 0)).verdict is Verdict.NEW
    assert screen.check(9, 0, 2, "f0", unit(1, 0, 0)).verdict is Verdict.KNOWN


def test_the_ring_agrees_with_a_slow_obvious_version():
    memory, rng = 5, np.random.default_rng(1)
    screen = NoveltyScreen(NoveltyConfig(max_similarity=1.0, memory=memory))
    rows = [unit(*rng.normal(size=8)) for _ in range(2 * SLACK + 50)]
    for version, row in enumerate(rows):
        screen.add(version, f"p{version}", f"f{version}", row)
        if version % 37 == 0:
            seen = max(0, version - SLACK + 1)
            probe = unit(*rng.normal(size=8))
            cosines = {k: float(rows[k] @ probe) for k in range(max(0, seen - memory + 1), seen + 1)}
            best = max(cosines, key=lambda k: cosines[k])
            found = screen.check(version, 0, seen, "new", probe)
            assert found.nearest == f"p{best}"
            assert found.similarity == pytest.approx(cosines[best], abs=1e-3)


def test_a_version_out_of_reach_is_an_error():
    screen = NoveltyScreen(NoveltyConfig(max_similarity=0.9, memory=3))
    for version in range(SLACK + 4):
        screen.add(version, f"p{version}", f"f{version}", unit(1, version))
    with pytest.raises(ValueError, match="version 2"):
        screen.check(9, 0, 2, "new", unit(1, 1))
    assert screen.check(9, 0, 3, "new", unit(1, 1)).nearest == "p1"


def test_embeddings_read_back_from_the_archive_screen_alike():
    live, resumed = NoveltyScreen(NoveltyConfig(max_similarity=0.9)), NoveltyScreen(NoveltyConfig(max_similarity=0.9))
    rng = np.random.default_rng(2)
    for version in range(20):
        row = unit(*rng.normal(size=16))
        live.add(version, f"p{version}", f"f{version}", row)
        resumed.add(version, f"p{version}", f"f{version}", unpack(pack(row)))
    probe = unit(*rng.normal(size=16))
    assert live.check(21, 0, 19, "new", probe) == resumed.check(21, 0, 19, "new", probe)


def test_versions_do_not_go_back():
    screen = NoveltyScreen(NoveltyConfig())
    screen.add(4, "a", "aa", None)
    with pytest.raises(ValueError, match="3 after 4"):
        screen.add(3, "b", "bb", None)


def test_a_distance_allows_long_programs_to_be_nearer_in_direction():
    screen = NoveltyScreen(NoveltyConfig(min_distance=0.5))
    screen.add(0, "short", "a", unit(1, 0))
    assert screen.check(1, 0, 0, "c", unit(4, 3)).verdict is Verdict.NEAR  # (1 - 0.8) * 1 * 1
    screen = NoveltyScreen(NoveltyConfig(min_distance=0.5))
    screen.add(0, "long", "a", 5 * unit(1, 0))
    found = screen.check(1, 0, 0, "c", 5 * unit(4, 3))  # (1 - 0.8) * 5 * 5
    assert (found.verdict, found.similarity) == (Verdict.NEW, pytest.approx(0.8, abs=1e-3))


def test_screens_over_several_blocks_see_exactly_their_version():
    early, late = NoveltyScreen(NoveltyConfig(min_distance=0.1)), NoveltyScreen(NoveltyConfig(min_distance=0.1))
    rows = np.random.default_rng(3).normal(size=(1300, 16)).astype(np.float32)
    for version, row in enumerate(rows):
        late.add(version, f"p{version}", f"f{version}", row)
        if version < 520:
            early.add(version, f"p{version}", f"f{version}", row)
    for probe in rows[::60]:
        assert early.check(1, 0, 519, "new", probe) == late.check(1, 0, 519, "new", probe)


@pytest.mark.parametrize("settings", [{"max_similarity": 0.0}, {"max_similarity": 1.1}, {"min_distance": 0.0}, {"memory": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        NoveltyConfig(**settings)


def screened(config: NoveltyConfig, similarity: float, length: float = 1.0):
    """Screens a child at a cosine from the only known program; both embeddings have the same length."""
    screen = NoveltyScreen(config)
    screen.add(0, "known", "mark", np.array([length, 0.0]))
    return screen.check(1, 0, 0, "other", length * np.array([similarity, np.sqrt(1 - similarity**2)]))


@pytest.mark.parametrize(
    ("distance", "verdict", "borderline"),
    [(0.05, Verdict.NEAR, False), (0.15, Verdict.NEW, True), (0.35, Verdict.NEW, True), (0.45, Verdict.NEW, False)],
)
def test_between_the_limit_and_so_many_limits_a_child_is_borderline(distance, verdict, borderline):
    for limit in ({"min_distance": 0.1}, {"max_similarity": 0.9}):
        config = NoveltyConfig(**limit, judge="a/b", borderline=4)
        found = screened(config, 1 - distance)
        assert (found.verdict, found.borderline, found.nearest) == (verdict, borderline, "known")


def test_a_band_is_as_wide_as_its_limit_in_its_own_measure():
    config = NoveltyConfig(min_distance=0.1, judge="a/b", borderline=4)
    # The distance is the square of the length times as large.
    assert not screened(config, 0.85, length=2.0).borderline
    assert screened(config, 0.95, length=2.0).borderline


def test_without_a_judge_nothing_is_borderline():
    assert not screened(NoveltyConfig(min_distance=0.1), 0.85).borderline


def test_copies_are_no_question_for_a_judge():
    screen = NoveltyScreen(NoveltyConfig(min_distance=0.1, judge="a/b", borderline=4))
    screen.add(0, "known", "mark", np.array([1.0, 0.0]))
    found = screen.check(1, 0, 0, "mark", np.array([0.0, 1.0]))
    assert (found.verdict, found.borderline) == (Verdict.KNOWN, False)


def test_a_judge_leaves_with_the_limit():
    config = NoveltyConfig(min_distance=0.1, judge="a/b", borderline=4)
    assert config.without_limit() == NoveltyConfig(calibrate=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"judge": "a/b", "calibrate": False}, "a judge needs a limit"),
        ({"judge": "a/b", "max_similarity": 1.0}, "leaves nothing borderline"),
        ({"judge": "a/b", "borderline": 1.0}, r"borderline must be finite and > 1, got 1\.0"),
        ({"judge": "a/b", "borderline": float("nan")}, "borderline must be finite"),
        ({"judge": "a/b", "borderline": float("inf")}, "borderline must be finite"),
        ({"borderline": 2.0}, r"borderline is 2\.0, and nobody is asked"),
    ],
)
def test_a_judge_that_could_be_asked_nothing_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        NoveltyConfig(**settings)
