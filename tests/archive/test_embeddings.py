import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evolve.archive.embeddings import HashedNgrams, pack, unpack

CODE = {"a.py": "def f(x):\n    return 2 * x + 1\n"}
OTHER = {"a.py": "import heapq\n\nclass Queue:\n    def pop(self):\n        return heapq.heappop(self.items)\n"}


@pytest.fixture(scope="module")
def ngrams() -> HashedNgrams:
    return HashedNgrams()


def cosine(ngrams: HashedNgrams, one: dict[str, str], two: dict[str, str]) -> float:
    a, b = ngrams.embed(one), ngrams.embed(two)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def moved(ngrams: HashedNgrams, one: str, two: str) -> float:
    return float(np.sum((ngrams.embed({"a.py": one}) - ngrams.embed({"a.py": two})) ** 2))


def test_an_embedding_is_a_float32_vector(ngrams):
    embedding = ngrams.embed(CODE)
    assert (embedding.shape, embedding.dtype) == ((512,), np.float32)


def test_its_length_says_how_much_source_there_is(ngrams):
    lines = [f"x{k} = f{k}(y{k})\n" for k in range(40)]
    short, long = (np.linalg.norm(ngrams.embed({"a.py": "".join(lines[:n])})) for n in (20, 40))
    assert long / short == pytest.approx(2**0.5, rel=0.15)


@pytest.mark.parametrize("files", [{}, {"": ""}, {"a.py": ""}, {"a.py": "\n \n"}])
def test_empty_sources_have_a_direction_too(ngrams, files):
    assert np.linalg.norm(ngrams.embed(files)) > 0.5


def test_a_handful_of_places_still_gives_a_direction():
    small = HashedNgrams(1)
    assert all(small.embed({"": text}).any() for text in ("", "a", "a b", "a b c d"))


def test_an_edit_moves_long_and_short_programs_equally_far(ngrams):
    body = "".join(f"x{k} = f{k}(y{k}, {k})\n" for k in range(300))
    edit = ("z = 0.25\n", "z = 0.75\n")
    short = moved(ngrams, *edit)
    assert moved(ngrams, body + edit[0], body + edit[1]) == pytest.approx(short, rel=0.2)


def test_names_that_a_program_gives_do_not_count(ngrams):
    renamed = {"a.py": CODE["a.py"].replace("x", "value")}
    assert (ngrams.embed(CODE) == ngrams.embed(renamed)).all()


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("t = [0, 1, 0, 0, 1]", "t = [0, 0, 1, 0, 1]"),
        ("t = [0, 1, 1, 0]", "t = [1, 0, 0, 1]"),
        (f"t = {[0] * 200}", f"t = {[0] * 100 + [1] + [0] * 99}"),
        ("t = [1, 0]\n" * 50 + "t = [1, 0]", "t = [1, 0]\n" * 50 + "t = [0, 1]"),
    ],
)
def test_one_number_in_a_table_counts(ngrams, one, two):
    assert moved(ngrams, one, two) > 0.9  # two keys of log(2) ** 2 each, at the least


def test_statements_alike_in_form_do_not_change_places_unnoticed(ngrams):
    calls = [f"plan.step({name!r}, 0.5, 2)\n" for name in ("wash", "spin", "rinse", "dry")]
    assert moved(ngrams, "".join(calls), "".join([calls[0], calls[2], calls[1], calls[3]])) > 0.9


def test_a_small_change_is_nearer_than_another_program(ngrams):
    changed = {"a.py": CODE["a.py"].replace("2", "3")}
    assert cosine(ngrams, CODE, changed) > 0.5 > cosine(ngrams, CODE, OTHER)


def test_layout_does_not_count(ngrams):
    assert cosine(ngrams, CODE, {"a.py": "def f(x):\n\n  return 2*x + 1"}) == pytest.approx(1, abs=1e-6)


def test_the_order_of_files_does_not_count(ngrams):
    one = {"a.py": "x = 1", "b.py": "y = 2"}
    assert (ngrams.embed(one) == ngrams.embed(dict(reversed(one.items())))).all()


def test_what_was_embedded_before_does_not_count(ngrams):
    first = ngrams.embed(CODE)
    ngrams.embed(OTHER)
    assert (ngrams.embed(CODE) == first).all()
    assert (HashedNgrams().embed(CODE) == first).all()


def test_no_dimension_is_refused():
    with pytest.raises(ValueError, match="dimension"):
        HashedNgrams(0)


def test_packing_takes_two_bytes_per_number(ngrams):
    assert len(pack(ngrams.embed(CODE))) == 2 * 512


@given(arrays(np.float32, 20, elements=st.floats(-1, 1, width=32)))
def test_packing_rounds_once(values):
    once = unpack(pack(values))
    assert (np.abs(once - values) <= np.maximum(np.abs(values) * 2.0**-11, 2.0**-25)).all()
    assert (unpack(pack(once)) == once).all()
