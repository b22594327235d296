"""The published suite on the built-in embedder, on one behind an API and on a model of this machine."""

import asyncio
import importlib.util
import os

import numpy as np
import pytest

from evolve.archive.embeddings import HashedNgrams
from evolve.budget import Dollars
from evolve.llm.calling import Caller
from evolve.llm.embedding_model import EmbeddingModel
from evolve.llm.sentences import SentenceEmbedder
from evolve.llm.specs import parse_spec
from evolve.testing.embedder import EmbedderContract
from evolve.testing.model_server import ModelServer
from evolve.vectors import ServedVectors


class TestHashedNgrams(EmbedderContract):
    def make(self):
        return HashedNgrams()


class Nowhere:
    """Keeps nothing, and writes nothing down."""

    def vectors(self, keys):
        return {}

    def keep(self, vectors):
        pass

    def number(self, step, attempt):
        return 0

    def began(self, call):
        pass

    def ended(self, call):
        pass


class Served:
    """Asks a server, one source at a time."""

    def __init__(self, url):
        self.spec = parse_spec(f"openai/embedder[price=0]@{url}")

    def embed(self, files):
        return asyncio.run(self._embed(files))

    async def _embed(self, files):
        caller = Caller(
            EmbeddingModel(self.spec, None), self.spec, None, Dollars(None), Nowhere(), rng=np.random.default_rng(0), waits=False
        )
        vectors = ServedVectors("embedder", caller, Nowhere(), longest=1024)
        try:
            [vector] = await vectors.of([files], 1, 0)
        finally:
            await vectors.close()
        return vector


class TestServed(EmbedderContract):
    @pytest.fixture(autouse=True)
    def server(self):
        with ModelServer([]) as server:
            self.url = server.url
            yield server

    def make(self):
        return Served(self.url)


@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.skipif("EVOLVE_SENTENCE_MODEL" not in os.environ, reason="EVOLVE_SENTENCE_MODEL names no folder of a model")
class TestSentences(EmbedderContract):
    sources = tuple(name for name in EmbedderContract.sources if name != "200 kB")

    def make(self):
        return SentenceEmbedder(os.environ["EVOLVE_SENTENCE_MODEL"])
