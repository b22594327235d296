"""Writes a scripted server's answers as bytes on the wire, whole or as server-sent events: for `evolve.testing.model_server`.

The formats are those of `evolve.testing.wire_formats`.
"""

from __future__ import annotations

import json

from evolve.llm.base import Finish, Usage
from evolve.testing.wire_formats import Answer, Asked, Json, Wire

_PIECES = 4


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
