"""What a scripted model server is asked, and what it is told to answer, in three wire formats: for `evolve.testing.model_server`.

OpenAI's Chat Completions and Responses and Anthropic's Messages, as their public references describe them. Requests are read here,
and errors put into each one's own words; `evolve.testing.wire_answers` writes the answers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from evolve.llm.base import Finish, Message, Role, Usage

Json = dict[str, Any]  # Any: JSON values
BYTES_PER_TOKEN = 4


class Wire(StrEnum):
    """A wire format, by the end of its path."""

    CHAT = "/chat/completions"
    RESPONSES = "/responses"
    MESSAGES = "/messages"
    MODELS = "/models"


class Fault(StrEnum):
    """What a server may do instead of answering."""

    RATE_LIMITED = "rate_limited"
    """Status 429; give ``Retry-After`` in the answer's headers."""
    OUT_OF_QUOTA = "out_of_quota"
    """Status 429 and ``insufficient_quota`` at OpenAI, status 400 and a low balance at Anthropic."""
    SERVER_ERROR = "server_error"
    """Status 500."""
    UNAVAILABLE = "unavailable"
    """Status 503."""
    OVERLOADED = "overloaded"
    """Status 529."""
    BAD_KEY = "bad_key"
    """Status 401."""
    FORBIDDEN = "forbidden"
    """Status 403."""
    UNKNOWN_MODEL = "unknown_model"
    """Status 404."""
    OVERFLOW = "overflow"
    """Status 400, the prompt is too long, in the words of the format's own provider."""
    OVERFLOW_OF_LLAMA_CPP = "overflow_of_llama_cpp"
    """The same in the words of llama.cpp's server."""
    BAD_SETTING = "bad_setting"
    """Status 400: the model does not take a setting."""
    ERROR_IN_STREAM = "error_in_stream"
    """Half the answer, then an error event; an answer that is not streamed gets status 500."""
    CUT = "cut"
    """Half the answer, then the connection is closed."""
    ENDED_EARLY = "ended_early"
    """Half the answer, then an orderly end of the stream, as proxies do; otherwise as `CUT`."""
    NOT_JSON = "not_json"
    """Status 200 and a web page; within a stream, an event that is not JSON."""
    WRONG_JSON = "wrong_json"
    """Status 200 and JSON without any field that the format asks for."""
    NO_BODY = "no_body"
    """Status 200 and nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that reached the server.

    Attributes:
        number: Of the request, from 0, in order of arrival.
        wire: How it was asked.
        model: The model it names.
        messages: The conversation, system text first, whatever the format calls it.
        max_tokens: Of the answer; None when the request does not say.
        temperature: None when the request does not say.
        stream: Whether the answer is to come as events.
        path: Of the request.
        headers: By name in small letters.
        body: As it was sent.
    """

    number: int
    wire: Wire
    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None
    temperature: float | None
    stream: bool
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The key it was sent with; empty without one."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ").strip()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answers.

    Attributes:
        text: The answer, or what is said in refusal.
        finish: Why it ends. A refusal without text is a filter's.
        usage: Tokens; None counts four bytes as one, unless the server was told not to count.
        thoughts: What a reasoning model shows of its thinking, apart from ``text``.
        cost_usd: Put into the usage as ``cost``, as OpenRouter does.
        model: What the server calls itself; empty for the name it was asked by.
        fault: What happens instead of an answer.
        words: An error's message in place of the usual one.
        headers: Added to the response's, such as ``{"Retry-After": "7"}``.
        before: What is waited for before anything is sent: an event, or seconds.
        during: What is waited for after half of the answer is sent.
    """

    text: str = ""
    finish: Finish = Finish.STOP
    usage: Usage | None = None
    thoughts: str = ""
    cost_usd: float | None = None
    model: str = ""
    fault: Fault | None = None
    words: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    before: threading.Event | float | None = None
    during: threading.Event | float | None = None


class Refusal(NamedTuple):
    """An error as a status and, for each family of formats, a type, a code and a message."""

    status: int
    openai: tuple[str, str | None, str]
    anthropic: tuple[str, str]


_OVERLONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
_REFUSALS = {
    Fault.RATE_LIMITED: Refusal(
        429, ("requests", "rate_limit_exceeded", "Rate limit reached."), ("rate_limit_error", "Too many requests.")
    ),
    Fault.OUT_OF_QUOTA: Refusal(
        429,
        ("insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
        ("invalid_request_error", "Your credit balance is too low to access the API."),
    ),
    Fault.SERVER_ERROR: Refusal(500, ("server_error", None, "The server had an error."), ("api_error", "Internal server error")),
    Fault.UNAVAILABLE: Refusal(503, ("server_error", None, "Loading model"), ("api_error", "Service unavailable")),
    Fault.OVERLOADED: Refusal(529, ("server_error", None, "Overloaded"), ("overloaded_error", "Overloaded")),
    Fault.BAD_KEY: Refusal(
        401, ("invalid_request_error", "invalid_api_key", "Incorrect API key."), ("authentication_error", "invalid x-api-key")
    ),
    Fault.FORBIDDEN: Refusal(403, ("invalid_request_error", None, "No access."), ("permission_error", "No access.")),
    Fault.UNKNOWN_MODEL: Refusal(
        404, ("invalid_request_error", "model_not_found", "The model does not exist."), ("not_found_error", "model: unknown")
    ),
    Fault.OVERFLOW: Refusal(
        400,
        ("invalid_request_error", "context_length_exceeded", _OVERLONG),
        ("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    ),
    Fault.BAD_SETTING: Refusal(
        400,
        ("invalid_request_error", "unsupported_value", "'temperature' does not support 0.3 with this model."),
        ("invalid_request_error", "temperature: range: 0..1"),
    ),
}
_LLAMA_CPP = "the request exceeds the available context size, try increasing it"


def read_request(number: int, wire: Wire, path: str, headers: Mapping[str, str], body: Json) -> Asked:
    """Reads a request, whichever format it is in."""
    return Asked(
        number=number,
        wire=wire,
        model=str(body.get("model", "")),
        messages=tuple(_messages(body)),
        max_tokens=next(
            (body[name] for name in ("max_tokens", "max_completion_tokens", "max_output_tokens") if name in body), None
        ),
        temperature=body.get("temperature"),
        stream=bool(body.get("stream")),
        path=path,
        headers=headers,
        body=body,
    )


def _messages(body: Json) -> Iterator[Message]:
    """Reads a conversation: system text stands apart in two of the formats."""
    for apart in ("system", "instructions"):
        if body.get(apart):
            yield Message(Role.SYSTEM, _plain(body[apart]))
    turns: str | list[Json] = body.get("messages") or body.get("input") or []
    for turn in [{"role": "user", "content": turns}] if isinstance(turns, str) else turns:
        role = turn.get("role", "user")
        yield Message(Role.SYSTEM if role == "developer" else Role(role), _plain(turn.get("content")))


def _plain(content: str | list[Json] | None) -> str:
    """Joins the text of a message's blocks."""
    if isinstance(content, str):
        return content
    return "".join(str(block.get("text", "")) for block in content or ())


def error(wire: Wire, answer: Answer) -> tuple[int, Json]:
    """Writes an error: its status and body."""
    assert answer.fault is not None
    if answer.fault is Fault.OVERFLOW_OF_LLAMA_CPP:
        details = {"code": 400, "message": answer.words or _LLAMA_CPP, "type": "exceed_context_size_error", "n_ctx": 8192}
        return 400, {"error": {**details, "n_prompt_tokens": 9001}}
    refusal = _REFUSALS.get(answer.fault, _REFUSALS[Fault.SERVER_ERROR])
    if wire is Wire.MESSAGES:
        kind, words = refusal.anthropic
        status = 400 if answer.fault is Fault.OUT_OF_QUOTA else refusal.status
        return status, {"type": "error", "error": {"type": kind, "message": answer.words or words}, "request_id": "req_1"}
    kind, code, words = refusal.openai
    return refusal.status, {"error": {"message": answer.words or words, "type": kind, "param": None, "code": code}}


def counted(asked: Asked, answer: Answer) -> Usage:
    """Counts tokens as four bytes each."""
    asked_bytes = sum(len(message.text.encode()) for message in asked.messages)
    thought = _tokens(len(answer.thoughts.encode()))
    return Usage(_tokens(asked_bytes), 0, _tokens(len(answer.text.encode())) + thought, thought)


def _tokens(count: int) -> int:
    return -(-count // BYTES_PER_TOKEN)
