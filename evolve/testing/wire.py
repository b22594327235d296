"""What crosses between a scripted model server and its script: what was asked, what is answered, what goes wrong instead."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from evolve.llm.base import Finish, Message, Usage

Json = dict[str, Any]  # Any: JSON values
_PIECES = 4


class Wire(StrEnum):
    """A wire format, by the end of its path."""

    CHAT = "/chat/completions"
    RESPONSES = "/responses"
    MESSAGES = "/messages"
    MODELS = "/models"
    EMBEDDINGS = "/embeddings"


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
        provider_usd: What a provider charges to a key of the user's own, beside ``cost_usd``, which is OpenRouter's fee then.
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
    provider_usd: float | None = None
    model: str = ""
    fault: Fault | None = None
    words: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    before: threading.Event | float | None = None
    during: threading.Event | float | None = None


def event(data: Json, *, named: bool = False) -> bytes:
    """Writes a server-sent event, under the name of its type where the format wants one."""
    head = f"event: {data['type']}\n" if named else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def pieces(text: str) -> list[str]:
    """Cuts a text into a few pieces, none of them empty."""
    size = max(1, -(-len(text) // _PIECES))
    return [text[start : start + size] for start in range(0, len(text), size)]
