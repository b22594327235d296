"""On a model that counts words: the package itself is optional (see tests/contracts/test_embedder.py)."""

import importlib.machinery
import sys
import types

import numpy as np
import pytest

from evolve.errors import ConfigError
from evolve.llm.sentences import SentenceEmbedder


class Model:
    max_seq_length = 7  # two of them for the beginning and the end

    def __init__(self, name):
        if name == "missing":
            raise OSError("no such folder")
        self.encoded = []

    def tokenizer(self, text, *, add_special_tokens, verbose):
        assert not add_special_tokens
        return {"input_ids": text.split()}

    def encode(self, text, *, show_progress_bar):
        self.encoded.append(text)
        return np.array([len(text.split()), 1.0, text.count("x")], np.float32)


@pytest.fixture
def package(monkeypatch):
    module = types.ModuleType("sentence_transformers")
    module.__spec__ = importlib.machinery.ModuleSpec("sentence_transformers", None)
    module.SentenceTransformer = Model
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(set_num_threads=lambda number: None))


@pytest.mark.usefixtures("package")
def test_a_text_longer_than_the_model_takes_is_cut_by_its_own_tokens_between_lines():
    embedder = SentenceEmbedder("some/model")
    vector = embedder.embed({"a.py": "a b c\nd e\nf g h i\nj\n"})
    assert embedder._model.encoded == ["a b c\nd e\n", "f g h i\nj\n"]
    assert np.linalg.norm(vector) == pytest.approx(1.0)
    assert vector.dtype == np.float32


@pytest.mark.usefixtures("package")
def test_nothing_is_cut_off_silently():
    embedder = SentenceEmbedder("some/model")
    start = "".join(f"line {k}\n" for k in range(50))
    assert not np.array_equal(embedder.embed({"a.py": start}), embedder.embed({"a.py": start + "x x x\n"}))


@pytest.mark.usefixtures("package")
def test_a_model_that_cannot_be_loaded_says_what_to_name():
    with pytest.raises(ConfigError, match="'missing' cannot be loaded: no such folder; name a folder"):
        SentenceEmbedder("missing")
