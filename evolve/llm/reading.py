"""Reads the JSON of an answer by its path: servers leave out fields that their wire format promises."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from evolve.llm.base import Finish
from evolve.llm.faults import Malformed

_THOUGHTS = re.compile(r"\s*<think>.*?(</think>\s*|\Z)", re.DOTALL)
#: Chat templates that open the block themselves: the answer holds its end only, alone on a line.
_CLOSED = "</think>"
_END_OF_THOUGHTS = re.compile(r"(?:(?!<think>).)*?(?:\A|\n)</think>[ \t]*\n\s*", re.DOTALL)


def at(body: object, *path: str | int) -> object:
    """Follows a path of names and indices; None where something on it is missing."""
    for step in path:
        if isinstance(step, str):
            body = body.get(step) if isinstance(body, Mapping) else None
        else:
            body = body[step] if isinstance(body, Sequence) and not isinstance(body, str) and len(body) > step else None
    return body


def mapping_at(body: object, *path: str | int) -> Mapping[str, object]:
    """Reads an object that must be there.

    Raises:
        Malformed: If it is not.
    """
    found = at(body, *path)
    if not isinstance(found, Mapping):
        where = "/".join(map(str, path)) or "an object"
        raise Malformed(f"no {where} in {type(body).__name__} {str(body)[:80]!r}")
    return found


def list_at(body: object, *path: str | int) -> Sequence[object]:
    """Reads a list; an empty one where it is missing."""
    found = at(body, *path)
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()


def text_at(body: object, *path: str | int) -> str:
    """Reads a text; empty where it is missing."""
    found = at(body, *path)
    return found if isinstance(found, str) else ""


def count_at(body: object, *path: str | int) -> int:
    """Reads a number of tokens; 0 where it is missing."""
    found = at(body, *path)
    return int(found) if isinstance(found, (int, float)) else 0


def cost_at(body: object, *path: str | int) -> float | None:
    """Reads a cost in dollars; None where it is missing."""
    found = at(body, *path)
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None


def charge_at(usage: object) -> float | None:
    """Reads what a router says that an answer cost; None where it does not say all of it.

    Where OpenRouter passes on a provider's key of the user's own (``is_byok``), ``cost`` is its own fee, often 0, and the provider
    charges ``upstream_inference_cost`` besides. Elsewhere that is a part of ``cost``. Source: OpenRouter's page on usage accounting
    and OpenRouterTeam/ai-sdk-provider issue 532.
    """
    cost = cost_at(usage, "cost")
    if at(usage, "is_byok") is not True:
        return cost
    provider = cost_at(usage, "cost_details", "upstream_inference_cost")
    return None if provider is None else (cost or 0.0) + provider


def without_thoughts(text: str) -> str:
    """Cuts out what a local reasoning model thought aloud before its answer; a thought that never ended is no answer."""
    # Looked for first: without it the second pattern reads an answer to its end, character by character.
    if found := _THOUGHTS.match(text) or (_CLOSED in text and _END_OF_THOUGHTS.match(text)):
        return text[found.end() :]
    return text


def finished(text: str, finish: Finish) -> Finish:
    """Tells an answer of blanks from one that holds something."""
    return Finish.EMPTY if finish is Finish.STOP and not text.strip() else finish
