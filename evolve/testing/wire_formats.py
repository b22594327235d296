"""The three ways a model server is asked and answers, as bytes on the wire: for `evolve.testing.model_server`.

OpenAI's Chat Completions and Responses and Anthropic's Messages, as their public references describe them, whole or as
server-sent events, with the errors in each one's own words.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from evolve.llm.base import Finish, Message, Role, Usage

Json = dict[str, Any]  # Any: JSON values
BYTES_PER_TOKEN = 4
_PIECES = 4


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


def whole(asked: Asked, answer: Answer, usage: Usage | None) -> Json:
    """Writes an answer in one piece."""
    return {Wire.CHAT: _chat, Wire.RESPONSES: _responses, Wire.MESSAGES: _anthropic}[asked.wire](asked, answer, usage)


def events(asked: Asked, answer: Answer, usage: Usage | None) -> list[bytes]:
    """Writes an answer as server-sent events, the last one being the format's own end."""
    return {Wire.CHAT: _chat_events, Wire.RESPONSES: _responses_events, Wire.MESSAGES: _anthropic_events}[asked.wire](
        asked, answer, usage
    )


def error_event(wire: Wire) -> bytes:
    """Writes the event that says that something broke in the middle of an answer."""
    if wire is Wire.CHAT:
        return _event({"error": {"message": "The server had an error.", "type": "server_error", "code": None}})
    if wire is Wire.RESPONSES:
        return _event({"type": "error", "code": "server_error", "message": "The server had an error.", "param": None}, named=True)
    return _event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, named=True)


def broken_event(wire: Wire) -> bytes:
    """Writes an event whose data is cut off in the middle, but for its own end."""
    name = {Wire.RESPONSES: "event: response.output_text.delta\n", Wire.MESSAGES: "event: content_block_delta\n"}.get(wire, "")
    return f'{name}data: {{"type": "res\n\n'.encode()


def models(names: tuple[str, ...]) -> Json:
    """Writes the list of models."""
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "evolve"} for name in names]}


def _event(data: Json, *, named: bool = False) -> bytes:
    head = f"event: {data['type']}\n" if named else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def _pieces(text: str) -> list[str]:
    """Cuts a text into a few pieces, none of them empty."""
    size = max(1, -(-len(text) // _PIECES))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _chat_usage(answer: Answer, usage: Usage | None) -> Json | None:
    if usage is None:
        return None
    counts: Json = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.written},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    return counts if answer.cost_usd is None else {**counts, "cost": answer.cost_usd}


def _chat_reason(answer: Answer) -> str:
    if answer.finish is Finish.REFUSED and not answer.text:
        return "content_filter"
    return "length" if answer.finish is Finish.LENGTH else "stop"


def _chat(asked: Asked, answer: Answer, usage: Usage | None) -> Json:
    refused = answer.finish is Finish.REFUSED
    message: Json = {
        "role": "assistant",
        "content": None if refused else answer.text,
        "refusal": (answer.text or None) if refused else None,
    }
    if answer.thoughts:
        message["reasoning_content"] = answer.thoughts
    body = {
        "id": f"chatcmpl-{asked.number}",
        "object": "chat.completion",
        "created": 0,
        "model": answer.model or asked.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _chat_reason(answer)}],
    }
    counts = _chat_usage(answer, usage)
    return body if counts is None else {**body, "usage": counts}


def _chat_events(asked: Asked, answer: Answer, usage: Usage | None) -> list[bytes]:
    """Sends usage only where the request asks for it, in an event without choices before the end."""
    field_name = "refusal" if answer.finish is Finish.REFUSED else "content"
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in _pieces(answer.thoughts)]
    deltas += [{field_name: piece} for piece in _pieces(answer.text)]
    choices: list[list[Json]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": _chat_reason(answer)}])
    head = {"id": f"chatcmpl-{asked.number}", "object": "chat.completion.chunk", "created": 0, "model": answer.model or asked.model}
    sent = [_event({**head, "choices": choice}) for choice in choices]
    counts = _chat_usage(answer, usage)
    if counts is not None and (asked.body.get("stream_options") or {}).get("include_usage"):
        sent.append(_event({**head, "choices": [], "usage": counts}))
    return [*sent, b"data: [DONE]\n\n"]


def _responses_usage(answer: Answer, usage: Usage | None) -> Json | None:
    if usage is None:
        return None
    counts: Json = {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
    return counts if answer.cost_usd is None else {**counts, "cost": answer.cost_usd}


def _responses_item(answer: Answer) -> Json:
    if answer.finish is Finish.REFUSED:
        content: list[Json] = [{"type": "refusal", "refusal": answer.text}] if answer.text else []
    else:
        content = [{"type": "output_text", "text": answer.text, "annotations": []}]
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}


def _responses(asked: Asked, answer: Answer, usage: Usage | None) -> Json:
    filtered = answer.finish is Finish.REFUSED and not answer.text
    reason = "content_filter" if filtered else "max_output_tokens" if answer.finish is Finish.LENGTH else None
    thinking = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": answer.thoughts}]}
    return {
        "id": f"resp_{asked.number}",
        "object": "response",
        "created_at": 0,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": answer.model or asked.model,
        "output": [*([thinking] if answer.thoughts else []), _responses_item(answer)],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _responses_usage(answer, usage),
    }


def _responses_events(asked: Asked, answer: Answer, usage: Usage | None) -> list[bytes]:
    final = _responses(asked, answer, usage)
    begun = {**final, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    item = final["output"][-1]
    kind = "refusal" if answer.finish is Finish.REFUSED else "output_text"
    where = {"item_id": "msg_1", "output_index": len(final["output"]) - 1, "content_index": 0}
    steps: list[Json] = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    steps.append({"type": "response.output_item.added", "output_index": where["output_index"], "item": {**item, "content": []}})
    for part in item["content"]:
        blank = {**part, "refusal" if kind == "refusal" else "text": ""}
        steps.append({"type": "response.content_part.added", **where, "part": blank})
        steps += [{"type": f"response.{kind}.delta", **where, "delta": piece, "logprobs": []} for piece in _pieces(answer.text)]
        steps.append({"type": f"response.{kind}.done", **where, "text": answer.text, "refusal": answer.text, "logprobs": []})
        steps.append({"type": "response.content_part.done", **where, "part": part})
    steps.append({"type": "response.output_item.done", "output_index": where["output_index"], "item": item})
    steps.append({"type": f"response.{final['status']}", "response": final})
    return [_event({**step, "sequence_number": number}, named=True) for number, step in enumerate(steps)]


def _anthropic_usage(usage: Usage | None) -> Json:
    """Tokens that a cache gave or took stand beside the others here, and thoughts are not counted apart."""
    counts = usage or Usage()
    return {
        "input_tokens": counts.input - counts.cached - counts.written,
        "cache_creation_input_tokens": counts.written,
        "cache_read_input_tokens": counts.cached,
        "output_tokens": counts.output,
    }


def _anthropic_reason(answer: Answer) -> str:
    return {Finish.LENGTH: "max_tokens", Finish.REFUSED: "refusal"}.get(answer.finish, "end_turn")


def _anthropic(asked: Asked, answer: Answer, usage: Usage | None) -> Json:
    thinking: list[Json] = [{"type": "thinking", "thinking": answer.thoughts, "signature": "signed"}] if answer.thoughts else []
    text = [{"type": "text", "text": answer.text}] if answer.text else []
    body: Json = {
        "id": f"msg_{asked.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.model or asked.model,
        "content": [*thinking, *text],
        "stop_reason": _anthropic_reason(answer),
        "stop_sequence": None,
    }
    return body if usage is None else {**body, "usage": _anthropic_usage(usage)}


def _anthropic_events(asked: Asked, answer: Answer, usage: Usage | None) -> list[bytes]:
    final: Json = _anthropic(asked, answer, usage)
    counts = _anthropic_usage(usage)
    begun: Json = {**final, "content": [], "stop_reason": None, "usage": {**counts, "output_tokens": 1}}
    steps: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(final["content"]):
        name = block["type"]
        steps.append({"type": "content_block_start", "index": index, "content_block": {**block, name: ""}})
        deltas = [{"type": f"{name}_delta", name: piece} for piece in _pieces(block[name])]
        steps += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        steps.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": final["stop_reason"], "stop_sequence": None}
    steps.append({"type": "message_delta", "delta": ending, "usage": {"output_tokens": counts["output_tokens"]}})
    steps.append({"type": "message_stop"})
    return [_event(step, named=True) for step in steps]
