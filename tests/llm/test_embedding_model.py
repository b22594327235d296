import asyncio

import pytest

from evolve.llm.base import CallFailed, Failure, Usage
from evolve.llm.embedding_format import Embedded, embedding_request
from evolve.llm.embedding_model import EmbeddingModel
from evolve.llm.specs import ModelSettings, ModelSpec
from evolve.testing.model_server import Answer, Fault, ModelServer, Wire

CANARY = "sk-canary-0123456789abcdef"


def ask(server, texts, key=CANARY, timeout_s=30.0):
    async def once():
        model = EmbeddingModel(ModelSpec("openai", "m", server.url, ModelSettings(timeout_s=timeout_s)), key)
        try:
            return await model.complete(embedding_request(texts))
        finally:
            await model.close()

    return asyncio.run(once())


def test_each_text_has_its_vector_whatever_order_they_come_in():
    with ModelServer([], embed=lambda text: [float(len(text)), 1.0]) as server:
        found = ask(server, ["a", "bcd"])
        [asked] = server.asked
    assert isinstance(found, Embedded)
    assert [vector.tolist() for vector in found.vectors] == [[1.0, 1.0], [3.0, 1.0]]
    assert found.counted == Usage(input=1)
    assert (asked.wire, asked.model, asked.body) == (Wire.EMBEDDINGS, "m", {"model": "m", "input": ["a", "bcd"]})


def test_a_server_is_sent_the_key_that_it_is_meant_for_and_no_other(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai-itself")
    monkeypatch.setenv("OPENAI_ORG_ID", "an organisation")
    with ModelServer([]) as server:
        ask(server, ["a"], key=None)
        ask(server, ["a"])
        first, second = server.asked
    assert first.key == ""
    assert "openai-organization" not in first.headers
    assert second.key == CANARY


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (Fault.BAD_KEY, Failure.UNAUTHORIZED),
        (Fault.UNKNOWN_MODEL, Failure.UNKNOWN_MODEL),
        (Fault.RATE_LIMITED, Failure.RATE_LIMITED),
        (Fault.UNAVAILABLE, Failure.OVERLOADED),
        (Fault.OVERFLOW, Failure.CONTEXT_OVERFLOW),
        (Fault.CUT, Failure.CUT_OFF),
        (Fault.NOT_JSON, Failure.MALFORMED),
        (Fault.WRONG_JSON, Failure.MALFORMED),
        (Fault.NO_BODY, Failure.MALFORMED),
    ],
)
def test_failures_are_those_of_chats_and_hold_no_key(fault, failure):
    with ModelServer([], embedding=lambda _: Answer(fault=fault, words=f"no {CANARY}")) as server:
        with pytest.raises(CallFailed) as caught:
            ask(server, ["a"])
        assert len(server.asked) == 1
    assert caught.value.failure is failure
    assert CANARY not in str(caught.value)


def test_a_server_that_is_silent_is_given_up():
    with ModelServer([], embedding=lambda _: Answer(before=5.0)) as server, pytest.raises(CallFailed) as caught:
        ask(server, ["a"], timeout_s=0.1)
    assert caught.value.failure is Failure.TIMED_OUT


@pytest.mark.parametrize(
    "too_long",
    [
        "input (600 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
        "This model's maximum context length is 512 tokens.",
        "`inputs` must have less than 512 tokens. Given: 600",
    ],
)
def test_texts_that_servers_find_too_long_are_known_for_that(too_long):
    answer = Answer(fault=Fault.BAD_SETTING, words=too_long)
    with ModelServer([], embedding=lambda _: answer) as server, pytest.raises(CallFailed) as caught:
        ask(server, ["a"])
    assert caught.value.failure is Failure.CONTEXT_OVERFLOW
