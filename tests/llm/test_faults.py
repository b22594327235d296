import asyncio
import json

import pytest

from evolve.llm import faults
from evolve.llm.base import CallFailed, Completion, Failure, Finish
from evolve.llm.faults import Complaint, CutOff, Malformed, ServerError
from evolve.llm.specs import ModelSettings, ModelSpec

SPEC = ModelSpec("openai", "m", "http://user:secret@localhost:8000/v1", ModelSettings(timeout_s=5.0))


class Refused(Exception):
    """An SDK's status error."""

    def __init__(self, status, body, headers=None):
        super().__init__(str(body))
        self.status_code = status
        self.body = body
        self.response = type("Response", (), {"headers": headers or {}})()


async def raising(error):
    raise error


def failed(error, secrets=(), clock=lambda: 0.0):
    with pytest.raises(CallFailed) as caught:
        asyncio.run(faults.guarded(SPEC, secrets, raising(error), clock=clock))
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, {"message": "Input is too long for requested model."}, Failure.CONTEXT_OVERFLOW),
        (400, {"message": "This model's maximum context length is 4096 tokens."}, Failure.CONTEXT_OVERFLOW),
        (400, {"error": {"message": "input length and `max_tokens` exceed context limit"}}, Failure.CONTEXT_OVERFLOW),
        (400, {"message": "Your input exceeds the context window of this model."}, Failure.CONTEXT_OVERFLOW),
        (413, {"error": {"type": "request_too_large"}}, Failure.CONTEXT_OVERFLOW),
        (500, {"code": 500, "message": "the request exceeds the available context size"}, Failure.CONTEXT_OVERFLOW),
        (402, {"message": "Insufficient credits"}, Failure.OUT_OF_QUOTA),
        (403, {"message": "Insufficient balance"}, Failure.OUT_OF_QUOTA),
        (400, {"error": {"message": "Your credit balance is too low"}}, Failure.OUT_OF_QUOTA),
        (429, {"message": "Request too large: it exceeds the maximum number of tokens a minute"}, Failure.RATE_LIMITED),
        (400, {"message": "foo is not a valid model ID"}, Failure.UNKNOWN_MODEL),
        (404, {"message": 'model "foo" not found, try pulling it first'}, Failure.UNKNOWN_MODEL),
        (404, "<html>Not found</html>", Failure.UNKNOWN_MODEL),
        (401, {"message": "maximum context length"}, Failure.UNAUTHORIZED),
        (408, None, Failure.TIMED_OUT),
        (409, None, Failure.OVERLOADED),
        (502, "<html>Bad gateway</html>", Failure.OVERLOADED),
        (307, "", Failure.BAD_REQUEST),
        (422, {"detail": "unknown field"}, Failure.BAD_REQUEST),
        (200, "<html>", Failure.MALFORMED),
    ],
)
def test_status_code_and_words_decide(status, body, failure):
    assert failed(Refused(status, body)).failure is failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (CutOff("no end"), Failure.CUT_OFF),
        (Malformed("no choices"), Failure.MALFORMED),
        (TimeoutError(), Failure.TIMED_OUT),
        (json.JSONDecodeError("Expecting value", "", 0), Failure.MALFORMED),
        (TypeError("unexpected keyword"), Failure.BAD_REQUEST),
        (ServerError({"code": "rate_limit_exceeded"}), Failure.RATE_LIMITED),
        (ServerError({"code": "rate_limit_exceeded"}, begun=True), Failure.CUT_OFF),
        (ServerError({"type": "overloaded_error"}), Failure.OVERLOADED),
        (ServerError({"code": 402, "message": "pay"}), Failure.OUT_OF_QUOTA),
        (ServerError({"code": 502, "message": "upstream"}), Failure.OVERLOADED),
        (ServerError({"code": "context_length_exceeded"}, begun=True), Failure.CONTEXT_OVERFLOW),
        (ServerError("gone"), Failure.OVERLOADED),
    ],
)
def test_what_is_no_status_is_told_apart_too(error, failure):
    assert failed(error).failure is failure


def test_an_sdks_error_is_as_good_as_what_caused_it():
    connection = type("APIConnectionError", (Exception,), {})("Connection error.")
    connection.__cause__ = type("ReadError", (type("TransportError", (Exception,), {}),), {})("connection lost")
    assert failed(connection).failure is Failure.CUT_OFF
    assert "connection lost" in str(failed(connection))


def test_a_filter_before_the_model_is_a_refusal():
    answer = faults.guarded(SPEC, (), raising(Refused(400, {"code": "content_filter", "message": "filtered"})))
    assert asyncio.run(answer) == Completion("", Finish.REFUSED)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 60.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_waits_are_read_in_seconds_milliseconds_and_dates(headers, wait_s):
    assert failed(Refused(429, None, headers), clock=lambda: 40.0).retry_after_s == wait_s


def test_a_message_says_who_where_what_and_what_to_do():
    message = str(failed(Refused(401, {"error": {"message": "Incorrect API key."}})))
    assert message == (
        "model openai/m at localhost:8000 refused the key (status 401): Incorrect API key.; "
        "check the key in a variable that key_env=NAME names (none is sent), and its rights"
    )


def test_a_message_holds_no_secret_and_no_password_of_a_url():
    message = str(failed(Refused(401, {"message": "bad key sk-12345678"}), secrets=("sk-12345678", "sk-1")))
    assert "bad key ***;" in message
    assert "secret" not in message


def test_long_words_are_cut():
    assert len(str(failed(Refused(400, {"message": "word " * 1000})))) < 600


def test_the_whole_time_is_limited():
    async def forever():
        await asyncio.Event().wait()

    spec = ModelSpec("openai", "m", settings=ModelSettings(timeout_s=0.01))
    with pytest.raises(CallFailed) as caught:
        asyncio.run(faults.guarded(spec, (), forever()))
    assert caught.value.failure is Failure.TIMED_OUT


def test_own_hosts_have_their_names():
    assert faults.host_of(ModelSpec("openai", "m")) == "api.openai.com"
    assert faults.host_of(ModelSpec("anthropic", "m")) == "api.anthropic.com"


def test_a_complaint_without_a_body_has_the_exceptions_words():
    assert faults.complaint_of(ValueError("odd")) == Complaint(None, "ValueError Exception", "odd")
