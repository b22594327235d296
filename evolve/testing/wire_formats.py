"""The ways a model server is asked and answers, as bytes on the wire: for `evolve.testing.model_server`.

OpenAI's Chat Completions, Responses and embeddings (`evolve.testing.wire_openai`) and Anthropic's Messages
(`evolve.testing.wire_anthropic`), as their public references describe them, whole or as server-sent events, with the errors in each
one's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from evolve.llm.base import Message, Role, Usage
from evolve.testing.wire import Answer, Asked, Fault, Json, Wire, event
from evolve.testing.wire_anthropic import message, message_events
from evolve.testing.wire_openai import chat, chat_events, responses, responses_events

BYTES_PER_TOKEN = 4


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
    turns: str | list[Json | str] = body.get("messages") or body.get("input") or []
    for turn in [turns] if isinstance(turns, str) else turns:
        if isinstance(turn, str):
            yield Message(Role.USER, turn)
            continue
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


def whole(asked: Asked, answer: Answer, usage: Usage | None) -> Json:
    """Writes an answer in one piece."""
    return {Wire.CHAT: chat, Wire.RESPONSES: responses, Wire.MESSAGES: message}[asked.wire](asked, answer, usage)


def events(asked: Asked, answer: Answer, usage: Usage | None) -> list[bytes]:
    """Writes an answer as server-sent events, the last one being the format's own end."""
    return {Wire.CHAT: chat_events, Wire.RESPONSES: responses_events, Wire.MESSAGES: message_events}[asked.wire](
        asked, answer, usage
    )


def error_event(wire: Wire) -> bytes:
    """Writes the event that says that something broke in the middle of an answer."""
    if wire is Wire.CHAT:
        return event({"error": {"message": "The server had an error.", "type": "server_error", "code": None}})
    if wire is Wire.RESPONSES:
        return event({"type": "error", "code": "server_error", "message": "The server had an error.", "param": None}, named=True)
    return event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, named=True)


def broken_event(wire: Wire) -> bytes:
    """Writes an event whose data is cut off in the middle, but for its own end."""
    name = {Wire.RESPONSES: "event: response.output_text.delta\n", Wire.MESSAGES: "event: content_block_delta\n"}.get(wire, "")
    return f'{name}data: {{"type": "res\n\n'.encode()


def models(names: tuple[str, ...]) -> Json:
    """Writes the list of models."""
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "evolve"} for name in names]}
