"""OpenAI's Chat Completions and Responses, as a scripted server writes them, whole or as events; and its embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.llm.base import Finish, Usage
from evolve.testing.wire import Answer, Asked, Json, event, pieces


def _cost(answer: Answer) -> Json:
    """Writes what an answer cost, as OpenRouter does: the provider's charge is in ``cost`` unless the key is the user's own."""
    if answer.cost_usd is None and answer.provider_usd is None:
        return {}
    own_key = answer.provider_usd is not None
    upstream = answer.provider_usd if own_key else answer.cost_usd
    return {"cost": answer.cost_usd or 0.0, "is_byok": own_key, "cost_details": {"upstream_inference_cost": upstream}}


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
    return {**counts, **_cost(answer)}


def _chat_reason(answer: Answer) -> str:
    if answer.finish is Finish.REFUSED and not answer.text:
        return "content_filter"
    return "length" if answer.finish is Finish.LENGTH else "stop"


def chat(asked: Asked, answer: Answer, usage: Usage | None) -> Json:
    """Writes an answer of Chat Completions in one piece."""
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


def chat_events(asked: Asked, answer: Answer, usage: Usage | None) -> list[bytes]:
    """Writes it as events; usage only where the request asks for it, in an event without choices before the end."""
    field_name = "refusal" if answer.finish is Finish.REFUSED else "content"
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in pieces(answer.thoughts)]
    deltas += [{field_name: piece} for piece in pieces(answer.text)]
    choices: list[list[Json]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": _chat_reason(answer)}])
    head = {"id": f"chatcmpl-{asked.number}", "object": "chat.completion.chunk", "created": 0, "model": answer.model or asked.model}
    sent = [event({**head, "choices": choice}) for choice in choices]
    counts = _chat_usage(answer, usage)
    if counts is not None and (asked.body.get("stream_options") or {}).get("include_usage"):
        sent.append(event({**head, "choices": [], "usage": counts}))
    return [*sent, b"data: [DONE]\n\n"]


def embeddings(asked: Asked, vectors: Sequence[Sequence[float]], usage: Usage | None) -> Json:
    """Writes embeddings, those of the last text first: an answer's order says nothing, its numbers do."""
    data: list[Json] = [
        {"object": "embedding", "index": index, "embedding": [float(number) for number in vector]}
        for index, vector in enumerate(vectors)
    ]
    body: Json = {"object": "list", "model": asked.model, "data": data[::-1]}
    return body if usage is None else {**body, "usage": {"prompt_tokens": usage.input, "total_tokens": usage.input}}


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
    return {**counts, **_cost(answer)}


def _responses_item(answer: Answer) -> Json:
    if answer.finish is Finish.REFUSED:
        content: list[Json] = [{"type": "refusal", "refusal": answer.text}] if answer.text else []
    else:
        content = [{"type": "output_text", "text": answer.text, "annotations": []}]
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}


def responses(asked: Asked, answer: Answer, usage: Usage | None) -> Json:
    """Writes an answer of Responses in one piece."""
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


def responses_events(asked: Asked, answer: Answer, usage: Usage | None) -> list[bytes]:
    """Writes it as events, the last of which holds the whole."""
    final = responses(asked, answer, usage)
    begun = {**final, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    item = final["output"][-1]
    kind = "refusal" if answer.finish is Finish.REFUSED else "output_text"
    where = {"item_id": "msg_1", "output_index": len(final["output"]) - 1, "content_index": 0}
    steps: list[Json] = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    steps.append({"type": "response.output_item.added", "output_index": where["output_index"], "item": {**item, "content": []}})
    for part in item["content"]:
        blank = {**part, "refusal" if kind == "refusal" else "text": ""}
        steps.append({"type": "response.content_part.added", **where, "part": blank})
        steps += [{"type": f"response.{kind}.delta", **where, "delta": piece, "logprobs": []} for piece in pieces(answer.text)]
        steps.append({"type": f"response.{kind}.done", **where, "text": answer.text, "refusal": answer.text, "logprobs": []})
        steps.append({"type": "response.content_part.done", **where, "part": part})
    steps.append({"type": "response.output_item.done", "output_index": where["output_index"], "item": item})
    steps.append({"type": f"response.{final['status']}", "response": final})
    return [event({**step, "sequence_number": number}, named=True) for number, step in enumerate(steps)]
