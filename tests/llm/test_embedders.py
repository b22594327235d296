import importlib.metadata

import numpy as np
import pytest

from evolve.errors import ConfigError
from evolve.llm import embedders
from evolve.llm.embedders import LocalEmbedder, check_embedder, embedder_name, parse_embedder
from evolve.llm.specs import ModelSettings, ModelTable


class Lengths:
    """A plug-in: embeds by the number of characters."""

    def embed(self, files):
        return np.array([1.0, sum(map(len, files.values()))], np.float32)


@pytest.fixture
def plugged(monkeypatch):
    point = importlib.metadata.EntryPoint("lengths", f"{__name__}:Lengths", embedders.GROUP)
    broken = importlib.metadata.EntryPoint("broken", f"{__name__}:pytestmark", embedders.GROUP)
    found = {embedders.GROUP: {"lengths": point, "broken": broken}}
    monkeypatch.setattr(embedders, "installed", lambda group: found.get(group, {}))


pytestmark = []


@pytest.mark.parametrize("text", ["", "hashed", " hashed "])
def test_the_built_in_one_has_a_name_and_is_meant_without_any(text):
    assert parse_embedder(text) is None


def test_a_model_behind_an_api_has_the_settings_of_others():
    tables = [ModelTable("openai/e", ModelSettings(timeout_s=5.0, price="0.1/0"))]
    found = parse_embedder("openai/e[per_minute=60]@http://127.0.0.1:8000/v1", tables)
    assert (found.model, found.url, found.settings.per_minute) == ("e", "http://127.0.0.1:8000/v1", 60)
    assert (found.settings.timeout_s, found.settings.price) == (5.0, "0.1/0")
    assert embedder_name(found) == "openai/e@http://127.0.0.1:8000/v1"
    assert embedder_name(parse_embedder("openai/text-embedding-3-small")) == "openai/text-embedding-3-small"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("opnai/x", "unknown embedder 'opnai/x'; did you mean 'openai'"),
        ("sentence-transformer/x", "did you mean 'sentence-transformers'"),
        ("sentence-transformers", "did you mean 'sentence-transformers'"),
        ("length", "did you mean 'lengths'"),
        ("hash", "did you mean 'hashed'"),
        ("anthropic/x", "anthropic is not asked for embeddings; write openai/MODEL"),
        ("agent/claude", "agent is not asked for embeddings"),
        ("openai/e[effort=high]", "effort says nothing to a model of embeddings"),
        ("openai/e[tempreture=1]", "did you mean 'temperature'"),
        ("openai/e@http://me:secret@host/v1", "must not hold a user or a password"),
    ],
)
@pytest.mark.usefixtures("plugged")
def test_what_cannot_be_read_is_refused_with_the_nearest_that_can(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_embedder(text)


@pytest.mark.usefixtures("plugged")
def test_another_package_s_embedder_goes_by_its_name():
    found = parse_embedder("lengths")
    assert isinstance(found, LocalEmbedder)
    check_embedder(found)
    assert found.make().embed({"a.py": "xyz"}).tolist() == [1.0, 3.0]


@pytest.mark.usefixtures("plugged")
def test_a_plug_in_that_makes_nothing_is_refused_by_name():
    with pytest.raises(ConfigError, match="plug-in 'broken' must be a class or function"):
        parse_embedder("broken").make()


def test_a_missing_key_and_a_missing_package_are_refused_before_anything_is_made(monkeypatch):
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        check_embedder(parse_embedder("openai/text-embedding-3-small"), {})
    check_embedder(parse_embedder("openai/text-embedding-3-small"), {"OPENAI_API_KEY": "x"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'evolve-platform\[embed\]'"):
        check_embedder(parse_embedder("sentence-transformers/all-MiniLM-L6-v2"))
