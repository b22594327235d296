import asyncio

import pytest

from evolve.llm.anthropic import AnthropicModel, MessageStream, read_message
from evolve.llm.base import Effort, Finish, Message, ModelRequest, Role, Usage
from evolve.llm.faults import CutOff, Malformed, ServerError
from evolve.llm.specs import ModelSettings, ModelSpec
from evolve.testing.model_server import Answer, ModelServer

MESSAGES = (Message(Role.SYSTEM, "Be short."), Message(Role.USER, "2+2?"))
WHOLE = ModelSettings()
CACHED = {"type": "ephemeral"}


def ask(server, settings=WHOLE, url=None, key="sk-canary-0123456789abcdef", **request):
    async def once():
        model = AnthropicModel(ModelSpec("anthropic", "m", url or server.url, settings), key)
        try:
            return await model.complete(ModelRequest(**{"messages": MESSAGES, "max_tokens": 100, **request}))
        finally:
            await model.close()

    return asyncio.run(once())


def asked(settings=WHOLE, **request):
    with ModelServer(["4"]) as server:
        ask(server, settings, **request)
        return server.asked[0]


def thinking_at_anthropic_itself(model, effort, max_tokens=32_000):
    """What would be sent, without sending it."""
    client = AnthropicModel(ModelSpec("anthropic", model), "key")
    asyncio.run(client.close())
    return client._thinking(ModelRequest(MESSAGES, max_tokens, effort=effort))


def test_the_system_text_stands_apart_and_is_cached():
    body = asked().body
    assert body["system"] == [{"type": "text", "text": "Be short.", "cache_control": CACHED}]
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "2+2?"}]}]


def test_a_conversation_of_several_turns_is_cached_from_its_first_message():
    turns = (Message(Role.USER, "2+2?"), Message(Role.ASSISTANT, "5"), Message(Role.USER, "Sure?"))
    body = asked(messages=turns).body
    assert [turn["content"][0].get("cache_control") for turn in body["messages"]] == [CACHED, None, None]
    assert "system" not in body


def test_what_is_not_set_is_not_sent():
    assert set(asked().body) == {"model", "max_tokens", "messages", "system"}


def test_extras_and_temperature_are_sent():
    body = asked(temperature=0.5, extra={"top_k": 5}).body
    assert (body["temperature"], body["top_k"]) == (0.5, 5)


def test_thinking_leaves_no_temperature_and_room_for_the_answer():
    body = asked(temperature=0.5, effort=Effort.MAX, max_tokens=8192).body
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 6144}
    assert "temperature" not in body


@pytest.mark.parametrize(("effort", "max_tokens"), [(Effort.NONE, 8192), (Effort.LOW, 1000)])
def test_where_there_is_no_room_or_wish_to_think_the_temperature_stays(effort, max_tokens):
    body = asked(temperature=0.5, effort=effort, max_tokens=max_tokens).body
    assert (body["thinking"], body["temperature"]) == ({"type": "disabled"}, 0.5)


@pytest.mark.parametrize(
    "model",
    ["claude-3-7-sonnet-20250219", "claude-sonnet-4-20250514", "claude-opus-4-1-20250805", "claude-haiku-4-5", "claude-sonnet-4-0"],
)
def test_older_models_think_by_a_budget(model):
    assert thinking_at_anthropic_itself(model, Effort.HIGH) == {"thinking": {"type": "enabled", "budget_tokens": 8192}}


@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-5", "claude-haiku-5-5"])
def test_newer_models_think_by_an_effort(model):
    found = thinking_at_anthropic_itself(model, Effort.MINIMAL)
    assert found == {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}


@pytest.mark.parametrize(("max_tokens", "stream"), [(21_333, False), (21_334, True)])
def test_long_answers_are_streamed_though_nobody_asks(max_tokens, stream):
    assert asked(max_tokens=max_tokens).stream is stream


def test_the_address_may_be_given_with_or_without_its_version():
    with ModelServer(["4", "4"]) as server:
        ask(server, url=server.root)
        ask(server, url=server.url)
        assert {asked.path for asked in server.asked} == {"/v1/messages"}


def test_without_a_key_none_is_sent():
    with ModelServer(["4"]) as server:
        ask(server, key=None)
        assert not {"authorization", "x-api-key"} & set(server.asked[0].headers)


def test_the_servers_own_name_is_told():
    with ModelServer([Answer("4", model="m-2026-01-01")]) as server:
        assert ask(server).model == "m-2026-01-01"


def test_input_counts_what_the_cache_took_and_gave():
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 9}
    body = {"content": [{"type": "text", "text": "4"}], "stop_reason": "end_turn", "usage": usage}
    assert read_message(body).usage == Usage(325, 300, 9, 0, 20)
    usage["output_tokens_details"] = {"thinking_tokens": 6}
    assert read_message(body).usage == Usage(325, 300, 9, 6, 20)


def test_counts_in_a_stream_that_come_later_replace_earlier_ones():
    pieces = MessageStream()
    pieces.take({"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 7, "output_tokens": 1}}})
    pieces.take({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "4"}})
    pieces.take(
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": None, "output_tokens": 9}}
    )
    pieces.take({"type": "message_stop"})
    assert pieces.completion().usage == Usage(7, 0, 9, 0)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", Finish.STOP),
        ("stop_sequence", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("model_context_window_exceeded", Finish.LENGTH),
        ("refusal", Finish.REFUSED),
    ],
)
def test_reasons_are_read(reason, finish):
    assert read_message({"content": [{"type": "text", "text": "4"}], "stop_reason": reason}).finish is finish


def test_an_error_under_status_200_is_one():
    with pytest.raises(ServerError):
        read_message({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


def test_a_stream_that_does_not_begin_or_end_is_none():
    with pytest.raises(Malformed):
        MessageStream().completion()
    begun = MessageStream()
    begun.take({"type": "message_start", "message": {}})
    begun.take({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    with pytest.raises(CutOff):
        begun.completion()
