import asyncio

import pytest

from evolve.llm.base import CallFailed, Effort, Failure, Message, ModelRequest, Role, Usage
from evolve.llm.openai import OpenAIModel
from evolve.llm.specs import Api, ModelSettings, ModelSpec
from evolve.testing.model_server import Answer, Fault, ModelServer, Wire

MESSAGES = (Message(Role.SYSTEM, "Be short."), Message(Role.USER, "2+2?"))
CHAT, RESPONSES = ModelSettings(), ModelSettings(api=Api.RESPONSES)


def ask(server, settings=CHAT, key="sk-canary-0123456789abcdef", **request):
    async def once():
        model = OpenAIModel(ModelSpec("openai", "m", server.url, settings), key)
        try:
            return await model.complete(ModelRequest(**{"messages": MESSAGES, "max_tokens": 100, **request}))
        finally:
            await model.close()

    return asyncio.run(once())


def asked(settings=CHAT, **request):
    with ModelServer(["4"]) as server:
        ask(server, settings, **request)
        return server.asked[0]


def body_at_openai_itself(settings, **request):
    """What would be sent, without sending it."""
    model = OpenAIModel(ModelSpec("openai", "m", "", settings), "key")
    body = model._chat_body if settings.api is Api.CHAT else model._responses_body
    asyncio.run(model.close())
    return body(ModelRequest(**{"messages": MESSAGES, "max_tokens": 100, **request}))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("api", "wire"), [(None, Wire.CHAT), (Api.CHAT, Wire.CHAT), (Api.RESPONSES, Wire.RESPONSES)])
def test_the_settings_choose_format_and_streaming(api, wire, stream):
    found = asked(ModelSettings(api=api, stream=stream))
    assert (found.wire, found.stream) == (wire, stream)


def test_a_local_server_is_asked_in_the_words_that_it_knows():
    body = asked(temperature=0.5, effort=Effort.MAX, seed=7, extra={"grammar": "root ::= x"}).body
    assert body["max_tokens"] == 100
    assert (body["temperature"], body["seed"], body["reasoning_effort"], body["grammar"]) == (0.5, 7, "xhigh", "root ::= x")
    assert "max_completion_tokens" not in body


def test_what_is_not_set_is_not_sent():
    assert set(asked().body) == {"model", "messages", "max_tokens"}
    assert set(asked(RESPONSES).body) == {"model", "input", "instructions", "max_output_tokens", "store"}


def test_local_models_are_told_not_to_think():
    assert asked(effort=Effort.NONE).body["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in body_at_openai_itself(ModelSettings(api=Api.CHAT), effort=Effort.NONE)


def test_openai_itself_is_asked_for_completion_tokens():
    body = body_at_openai_itself(ModelSettings(api=Api.CHAT), effort=Effort.MINIMAL)
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (100, "minimal")
    assert "max_tokens" not in body


def test_responses_take_effort_temperature_and_extras_and_store_nothing():
    body = asked(RESPONSES, temperature=0.5, effort=Effort.HIGH, seed=7, extra={"service_tier": "flex"}).body
    assert (body["temperature"], body["reasoning"], body["store"]) == (0.5, {"effort": "high"}, False)
    assert body["service_tier"] == "flex"
    assert "seed" not in body


@pytest.mark.parametrize("settings", [CHAT, ModelSettings(stream=True), RESPONSES, ModelSettings(stream=True, api=Api.RESPONSES)])
def test_reasoning_tokens_cost_and_the_servers_own_name_are_told(settings):
    answer = Answer("4", usage=Usage(100, 40, 9, 5), cost_usd=0.125, model="m-2026-01-01")
    with ModelServer([answer]) as server:
        found = ask(server, settings)
    assert (found.usage, found.cost_usd, found.model) == (Usage(100, 40, 9, 5), 0.125, "m-2026-01-01")


@pytest.mark.parametrize("settings", [CHAT, ModelSettings(stream=True), RESPONSES, ModelSettings(stream=True, api=Api.RESPONSES)])
@pytest.mark.parametrize(("fee", "total"), [(None, 0.5), (0.025, 0.525)])
def test_a_routers_fee_and_what_the_provider_charges_to_a_key_of_ones_own_are_one_cost(settings, fee, total):
    with ModelServer([Answer("4", cost_usd=fee, provider_usd=0.5)]) as server:
        assert ask(server, settings).cost_usd == total


@pytest.mark.parametrize("settings", [CHAT, ModelSettings(stream=True), RESPONSES])
def test_a_server_that_counts_no_tokens_gives_none(settings):
    with ModelServer(["4"], count_tokens=False) as server:
        assert ask(server, settings).usage is None


@pytest.mark.parametrize("settings", [CHAT, ModelSettings(stream=True), RESPONSES])
def test_thoughts_within_the_text_are_cut_out(settings):
    with ModelServer(["<think>Two and two.</think>\n4"]) as server:
        assert ask(server, settings).text == "4"


def test_without_a_key_no_authorization_is_sent():
    with ModelServer(["4"]) as server:
        ask(server, key=None)
        assert "authorization" not in server.asked[0].headers


def test_a_redirect_is_not_followed():
    with ModelServer(["4"]) as elsewhere:

        class Redirecting(ModelServer):
            async def _answer(self, wire, request, reader, writer):
                writer.write(
                    f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.url}/chat/completions\r\nContent-Length: 0\r\n\r\n".encode()
                )
                await writer.drain()

        with Redirecting([]) as server, pytest.raises(CallFailed, match="status 307") as caught:
            ask(server)
        assert elsewhere.asked == []
    assert caught.value.failure is Failure.BAD_REQUEST


def test_a_web_page_instead_of_json_is_malformed():
    page = Answer(fault=Fault.NOT_JSON, headers={"Content-Type": "text/html"})
    with ModelServer([page]) as server, pytest.raises(CallFailed) as caught:
        ask(server)
    assert caught.value.failure is Failure.MALFORMED


@pytest.mark.parametrize("settings", [CHAT, RESPONSES])
def test_json_that_its_server_calls_text_is_read(settings):
    with ModelServer([Answer("4", headers={"Content-Type": "text/plain"})]) as server:
        assert ask(server, settings).text == "4"
