"""Anthropic's Messages, as a scripted server writes them: whole or as events."""

from __future__ import annotations

from evolve.llm.base import Finish, Usage
from evolve.testing.wire import Answer, Asked, Json, event, pieces


def _usage(usage: Usage | None) -> Json:
    """Tokens that a cache gave or took stand beside the others here, and thoughts are not counted apart."""
    counts = usage or Usage()
    return {
        "input_tokens": counts.input - counts.cached - counts.written,
        "cache_creation_input_tokens": counts.written,
        "cache_read_input_tokens": counts.cached,
        "output_tokens": counts.output,
    }


def _reason(answer: Answer) -> str:
    return {Finish.LENGTH: "max_tokens", Finish.REFUSED: "refusal"}.get(answer.finish, "end_turn")


def message(asked: Asked, answer: Answer, usage: Usage | None) -> Json:
    """Writes an answer in one piece."""
    thinking: list[Json] = [{"type": "thinking", "thinking": answer.thoughts, "signature": "signed"}] if answer.thoughts else []
    text = [{"type": "text", "text": answer.text}] if answer.text else []
    body: Json = {
        "id": f"msg_{asked.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.model or asked.model,
        "content": [*thinking, *text],
        "stop_reason": _reason(answer),
        "stop_sequence": None,
    }
    return body if usage is None else {**body, "usage": _usage(usage)}


def message_events(asked: Asked, answer: Answer, usage: Usage | None) -> list[bytes]:
    """Writes it as events; tokens are told at the beginning, and those of the answer again at its end."""
    final: Json = message(asked, answer, usage)
    counts = _usage(usage)
    begun: Json = {**final, "content": [], "stop_reason": None, "usage": {**counts, "output_tokens": 1}}
    steps: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(final["content"]):
        name = block["type"]
        steps.append({"type": "content_block_start", "index": index, "content_block": {**block, name: ""}})
        deltas = [{"type": f"{name}_delta", name: piece} for piece in pieces(block[name])]
        steps += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        steps.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": final["stop_reason"], "stop_sequence": None}
    steps.append({"type": "message_delta", "delta": ending, "usage": {"output_tokens": counts["output_tokens"]}})
    steps.append({"type": "message_stop"})
    return [event(step, named=True) for step in steps]
