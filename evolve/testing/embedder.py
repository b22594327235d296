"""What every embedder must do: inherit `EmbedderContract`, supply `make`, and let pytest collect it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence

import numpy as np
import pytest

from evolve.archive.embeddings import Embedder, pack, unpack
from evolve.program import Files

_SMALL = {"a.py": "def area(radius):\n    return 3.14159 * radius**2\n"}
_OTHER = {"a.py": "import heapq\n\n\ndef largest(values, n):\n    return heapq.nlargest(n, values)\n"}
_SOURCES: dict[str, Files] = {
    "nothing": {},
    "an empty file": {"a.py": ""},
    "blanks": {"a.py": " \n\t\n"},
    "one character": {"a.py": "x"},
    "not Python": {"a.py": 'fn main() { println!("{}", 1 + 2); }\n'},
    "other alphabets": {"a.py": "名 = 'naïve → 模型 🦉'\nprint(名)\n"},
    "half a surrogate pair": {"a.py": "x = '\ud83e'\n"},
    "control characters": {"a.py": "x = '\x00\x07'\r\n\x0c\ny = 1\r"},
    "several files": {"b.js": "let y = 2;\n", "a.py": "x = 1\n", "lib/c.cpp": "int z() { return 3; }\n"},
    "one line of 20 kB": {"a.py": "x = [" + ", ".join(map(str, range(4000))) + "]\n"},
    "200 kB": {"a.py": "".join(f"def part_{k}(x):\n    return x * {k}.5 + {k}\n\n\n" for k in range(5000))},
}


class EmbedderContract:
    """Tests of the `evolve.archive.embeddings.Embedder` protocol; a subclass says how to make one.

    Attributes:
        sources: Names of the sources that an embedder is tried with; a slow one may leave out the longest.
    """

    sources: Sequence[str] = tuple(_SOURCES)

    def make(self) -> Embedder:
        """Makes an embedder. It is called in another process too, on an instance that was pickled."""
        raise NotImplementedError

    def embedded(self, files: Files) -> np.ndarray:
        """Embeds by an embedder that has embedded nothing before."""
        return self.make().embed(files)

    @pytest.mark.parametrize("name", list(_SOURCES))
    def test_every_source_has_a_finite_vector_that_is_not_zero(self, name: str) -> None:
        if name not in self.sources:
            pytest.skip("this embedder is too slow for it")
        embedder = self.make()
        vector, usual = embedder.embed(_SOURCES[name]), embedder.embed(_SMALL)
        assert vector.dtype == np.float32
        assert vector.shape == usual.shape
        assert vector.ndim == 1
        assert np.isfinite(vector).all()
        assert vector.any()
        # As the archive keeps it: half precision holds numbers up to 65504.
        assert np.isfinite(unpack(pack(vector))).all()
        assert unpack(pack(vector)).any()

    def test_the_same_source_has_the_same_vector(self) -> None:
        embedder = self.make()
        assert np.array_equal(embedder.embed(_SMALL), embedder.embed(_SMALL))

    def test_what_was_embedded_before_does_not_matter(self) -> None:
        embedder = self.make()
        for files in (_OTHER, _SOURCES["several files"], {}):
            embedder.embed(files)
        assert np.array_equal(embedder.embed(_SMALL), self.embedded(_SMALL))

    def test_the_order_of_the_files_does_not_matter(self) -> None:
        files = _SOURCES["several files"]
        assert np.array_equal(self.embedded(files), self.embedded({path: files[path] for path in sorted(files, reverse=True)}))

    def test_another_process_makes_the_same_vector(self) -> None:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            elsewhere = pool.apply(self.embedded, (_SMALL,))
        assert np.array_equal(elsewhere, self.embedded(_SMALL))

    def test_a_program_is_nearer_to_itself_with_one_number_changed_than_to_another_program(self) -> None:
        embedder = self.make()
        edited = {path: text.replace("3.14159", "3.1416") for path, text in _SMALL.items()}
        one, near, far = (embedder.embed(files).astype(np.float64) for files in (_SMALL, edited, _OTHER))
        assert _cosine(one, near) > _cosine(one, far)

    def test_the_end_of_a_long_source_counts(self) -> None:
        embedder = self.make()
        long = "".join(f"value_{k} = compute({k})\n" for k in range(400))
        one, other = embedder.embed({"a.py": long}), embedder.embed({"a.py": long + "import heapq\nheapq.heapify(queue)\n"})
        assert not np.array_equal(one, other)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
