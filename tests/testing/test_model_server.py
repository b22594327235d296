"""The scripted model server, asked by the standard library's own client."""

import doctest
import http.client
import json
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from evolve.llm.base import Finish, Message, Role, Usage
from evolve.testing import model_server
from evolve.testing.model_server import Answer, Fault, ModelServer, Wire

CHAT = {
    "model": "m",
    "max_tokens": 50,
    "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2+2?"}],
}
RESPONSES = {"model": "m", "max_output_tokens": 50, "instructions": "Be short.", "input": "2+2?"}
MESSAGES = {"model": "m", "max_tokens": 50, "system": [{"type": "text", "text": "Be short."}], "messages": CHAT["messages"][1:]}
BODIES = {Wire.CHAT: CHAT, Wire.RESPONSES: RESPONSES, Wire.MESSAGES: MESSAGES}


def post(server, wire, headers=None, **changed):
    """Sends a request and returns status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.root.rpartition(":")[2]), timeout=10)
    try:
        connection.request("POST", f"/v1{wire.value}", json.dumps({**BODIES[wire], **changed}), headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def text_of(wire, body):
    """Finds the answer's text."""
    if wire is Wire.CHAT:
        return body["choices"][0]["message"]["content"]
    return (body["output"][0] if wire is Wire.RESPONSES else body)["content"][0]["text"]


def events_of(body):
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]


@pytest.fixture(params=list(BODIES), ids=lambda wire: wire.name.lower())
def wire(request):
    return request.param


def test_answers_come_in_the_order_of_the_script(wire):
    with ModelServer(["first", Answer("second")]) as server:
        answers = [text_of(wire, json.loads(post(server, wire)[2])) for _ in range(2)]
    assert answers == ["first", "second"]


def test_a_function_sees_what_was_asked(wire):
    with ModelServer(lambda asked: f"{asked.number} {asked.messages[-1].text} {asked.max_tokens}") as server:
        assert text_of(wire, json.loads(post(server, wire)[2])) == "0 2+2? 50"


def test_what_was_asked_is_kept_whichever_the_format(wire):
    with ModelServer(["4"]) as server:
        post(server, wire, {"Authorization": "Bearer canary"}, temperature=0.5)
        (asked,) = server.asked
    assert asked.messages == (Message(Role.SYSTEM, "Be short."), Message(Role.USER, "2+2?"))
    assert (asked.wire, asked.model, asked.max_tokens, asked.temperature, asked.key) == (wire, "m", 50, 0.5, "canary")


def test_tokens_are_a_quarter_of_the_bytes_unless_the_script_says_otherwise():
    with ModelServer(["12345678", Answer("4", usage=Usage(100, 40, 9, 5))]) as server:
        counted = json.loads(post(server, Wire.CHAT)[2])["usage"]
        said = json.loads(post(server, Wire.CHAT)[2])["usage"]
    assert (counted["prompt_tokens"], counted["completion_tokens"]) == (4, 2)
    assert (said["prompt_tokens"], said["prompt_tokens_details"]["cached_tokens"]) == (100, 40)
    assert said["completion_tokens_details"]["reasoning_tokens"] == 5


@pytest.mark.parametrize("asked_by", [Wire.CHAT, Wire.RESPONSES])
def test_costs_are_told_as_openrouter_tells_them(asked_by):
    answers = [Answer("4"), Answer("4", cost_usd=0.25), Answer("4", cost_usd=0.25, provider_usd=0.5), Answer("4", provider_usd=0.5)]
    with ModelServer(answers) as server:
        usages = [json.loads(post(server, asked_by)[2])["usage"] for _ in answers]
    assert not {"cost", "is_byok", "cost_details"} & usages[0].keys()
    told = [(usage["cost"], usage["is_byok"], usage["cost_details"]["upstream_inference_cost"]) for usage in usages[1:]]
    assert told == [(0.25, False, 0.25), (0.25, True, 0.5), (0.0, True, 0.5)]


def test_a_server_may_count_no_tokens(wire):
    with ModelServer(["4"], count_tokens=False) as server:
        assert json.loads(post(server, wire)[2]).get("usage") is None


def test_finish_reasons_are_each_formats_own():
    finishes = [Answer("x", Finish.LENGTH), Answer("", Finish.REFUSED), Answer("no", Finish.REFUSED)]
    with ModelServer(finishes) as server:
        reasons = [json.loads(post(server, Wire.CHAT)[2])["choices"][0]["finish_reason"] for _ in finishes]
    with ModelServer(finishes) as server:
        stops = [json.loads(post(server, Wire.MESSAGES)[2])["stop_reason"] for _ in finishes]
    assert reasons == ["length", "content_filter", "stop"]
    assert stops == ["max_tokens", "refusal", "refusal"]


def test_a_stream_holds_the_whole_answer_in_pieces(wire):
    with ModelServer(["a somewhat long answer"]) as server:
        _, headers, body = post(server, wire, stream=True, stream_options={"include_usage": True})
    events = events_of(body)
    pieces = {
        Wire.CHAT: lambda event: event["choices"][0]["delta"].get("content", "") if event.get("choices") else "",
        Wire.RESPONSES: lambda event: event.get("delta", ""),
        Wire.MESSAGES: lambda event: event.get("delta", {}).get("text", ""),
    }[wire]
    assert headers["Content-Type"] == "text/event-stream"
    assert "".join(pieces(event) for event in events) == "a somewhat long answer"
    assert any(event.get("usage") or event.get("response", {}).get("usage") for event in events)


def test_chat_streams_tell_tokens_only_when_asked():
    with ModelServer(["4"]) as server:
        _, _, body = post(server, Wire.CHAT, stream=True)
    assert "usage" not in body
    assert body.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (Fault.RATE_LIMITED, 429, "rate_limit"),
        (Fault.OUT_OF_QUOTA, 429, "insufficient_quota"),
        (Fault.SERVER_ERROR, 500, "server"),
        (Fault.UNAVAILABLE, 503, "Loading"),
        (Fault.OVERLOADED, 529, "Overloaded"),
        (Fault.BAD_KEY, 401, "invalid_api_key"),
        (Fault.FORBIDDEN, 403, "No access"),
        (Fault.UNKNOWN_MODEL, 404, "model_not_found"),
        (Fault.OVERFLOW, 400, "maximum context length"),
        (Fault.OVERFLOW_OF_LLAMA_CPP, 400, "exceed_context_size_error"),
        (Fault.BAD_SETTING, 400, "unsupported_value"),
        (Fault.NOT_JSON, 200, "<html>"),
        (Fault.WRONG_JSON, 200, '{"ok": true}'),
        (Fault.NO_BODY, 200, ""),
    ],
)
def test_faults_look_like_the_real_ones(fault, status, words):
    with ModelServer([Answer(fault=fault, headers={"Retry-After": "7"})]) as server:
        found, headers, body = post(server, Wire.CHAT)
    assert (found, headers["Retry-After"]) == (status, "7")
    assert words in body


def test_errors_of_anthropics_format_are_its_own():
    with ModelServer([Answer(fault=Fault.OVERFLOW)]) as server:
        body = json.loads(post(server, Wire.MESSAGES)[2])
    assert body["type"] == "error"
    assert body["error"]["message"].startswith("prompt is too long")


@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_answer_breaks_off_in_its_middle(wire, stream):
    with ModelServer([Answer("a somewhat long answer", fault=Fault.CUT)]) as server, pytest.raises(http.client.IncompleteRead):
        post(server, wire, stream=stream)


def test_a_stream_may_end_early_and_orderly(wire):
    with ModelServer([Answer("a somewhat long answer", fault=Fault.ENDED_EARLY)]) as server:
        _, _, body = post(server, wire, stream=True)
    assert events_of(body)
    assert not any(end in body for end in ("[DONE]", "response.completed", "message_stop"))


def test_an_error_may_come_within_a_stream(wire):
    with ModelServer([Answer("a somewhat long answer", fault=Fault.ERROR_IN_STREAM)]) as server:
        _, _, body = post(server, wire, stream=True)
    assert "error" in body.splitlines()[-2]


def test_a_slow_answer_waits_for_its_event_and_calls_in_flight_are_counted(wire):
    gate = threading.Event()
    with ModelServer(lambda asked: Answer("4", before=gate)) as server, ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(post, server, wire) for _ in range(3)]
        server.wait_until(lambda server: server.in_flight == 3)
        gate.set()
        assert [call.result()[0] for call in calls] == [200, 200, 200]
        server.wait_until(lambda server: server.in_flight == 0)
        assert server.most_in_flight == 3


def test_half_an_answer_is_sent_before_the_wait_in_its_middle():
    gate = threading.Event()
    with ModelServer([Answer("a somewhat long answer", during=gate)]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.root.rpartition(":")[2]), timeout=10)
        connection.request("POST", "/v1/chat/completions", json.dumps(CHAT))
        response = connection.getresponse()
        begun = response.read(20)
        gate.set()
        assert "somewhat" in (begun + response.read()).decode()
        connection.close()


@pytest.mark.parametrize("where", ["before", "during"])
def test_the_server_sees_a_client_hang_up(where):
    with ModelServer([Answer("4", **{where: threading.Event()})]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.root.rpartition(":")[2]), timeout=10)
        connection.request("POST", "/v1/chat/completions", json.dumps(CHAT))
        server.wait_until(lambda server: server.in_flight == 1)
        connection.close()
        server.wait_until(lambda server: server.hung_up == 1)
        assert server.in_flight == 0


def test_a_script_that_runs_out_fails_the_test():
    with pytest.raises(AssertionError, match="holds 1 answers, and call 2 came"), ModelServer(["4"]) as server:
        assert [post(server, Wire.CHAT)[0] for _ in range(2)] == [200, 500]


def test_a_script_that_raises_fails_the_test():
    with pytest.raises(AssertionError, match="division by zero"), ModelServer(lambda asked: 1 / 0) as server:
        post(server, Wire.CHAT)


def test_it_lists_its_models():
    with ModelServer([], models=("small", "large")) as server, urllib.request.urlopen(f"{server.url}/models") as response:
        assert [model["id"] for model in json.load(response)["data"]] == ["small", "large"]


def test_nothing_is_left_behind_though_a_call_still_waits():
    before = threading.active_count()
    with ThreadPoolExecutor(1) as pool:
        with ModelServer([Answer("4", before=threading.Event())]) as server:
            call = pool.submit(post, server, Wire.CHAT)
            server.wait_until(lambda server: server.in_flight == 1)
        assert isinstance(call.exception(timeout=10), http.client.RemoteDisconnected)
    assert threading.active_count() == before


def test_waiting_for_what_does_not_happen_says_what_did():
    with ModelServer([]) as server, pytest.raises(TimeoutError, match="0 calls asked"):
        server.wait_until(lambda server: server.in_flight == 1, timeout_s=0.01)


def test_the_example_in_its_documentation_runs():
    found = doctest.testmod(model_server)
    assert (found.attempted, found.failed) == (5, 0)
