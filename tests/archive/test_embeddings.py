import subprocess
import sys

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
    return float(ngrams.embed(one) @ ngrams.embed(two))


def test_an_embedding_is_a_float32_vector_of_unit_length(ngrams):
    embedding = ngrams.embed(CODE)
    assert (embedding.shape, embedding.dtype) == ((4096,), np.float32)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("files", [{}, {"": ""}, {"a.py": ""}, {"a.py": "\n \n"}])
def test_empty_sources_have_unit_length_too(ngrams, files):
    assert np.linalg.norm(ngrams.embed(files)) == pytest.approx(1, abs=1e-6)


def test_a_handful_of_buckets_still_gives_unit_length():
    small = HashedNgrams(1)
    assert [abs(float(small.embed({"": text})[0])) for text in ("", "a", "a b", "a b c d")] == [1.0] * 4


def test_a_small_change_is_nearer_than_another_program(ngrams):
    changed = {"a.py": CODE["a.py"].replace("2", "3")}
    assert cosine(ngrams, CODE, changed) > 0.6 > cosine(ngrams, CODE, OTHER)


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


def test_importing_the_module_does_not_import_scikit_learn():
    code = "import sys, evolve.archive.embeddings; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_dimension_is_refused():
    with pytest.raises(ValueError, match="dimension"):
        HashedNgrams(0)


def test_packing_takes_two_bytes_per_number(ngrams):
    assert len(pack(ngrams.embed(CODE))) == 2 * 4096


@given(arrays(np.float32, 20, elements=st.floats(-1, 1, width=32)))
def test_packing_rounds_once(values):
    once = unpack(pack(values))
    assert (np.abs(once - values) <= np.maximum(np.abs(values) * 2.0**-11, 2.0**-25)).all()
    assert (unpack(pack(once)) == once).all()
