"""What a model of embeddings is asked and answers, in OpenAI's format. No SDK is imported: runs that ask no model read this too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from evolve.llm.base import Completion, Message, ModelRequest, Role, Usage
from evolve.llm.faults import Malformed
from evolve.llm.reading import at, charge_at, count_at, list_at, mapping_at, text_at


@dataclass(frozen=True, slots=True)
class Embedded(Completion):
    """What a model of embeddings answers: no text.

    Attributes:
        vectors: ``(d,)`` float32 each, of the request's messages in their order; finite and not zero.
    """

    vectors: tuple[np.ndarray, ...] = field(default=(), compare=False)


def embedding_request(texts: Sequence[str]) -> ModelRequest:
    """Makes the request for the embeddings of some texts: each is a message, and nothing is to be answered.

    Args:
        texts: None of them empty.
    """
    return ModelRequest(tuple(Message(Role.USER, text) for text in texts), max_tokens=0)


def read_embeddings(body: object, n_texts: int) -> Embedded:
    """Reads an answer.

    Args:
        body: As JSON.
        n_texts: How many texts were asked about.

    Raises:
        Malformed: If it does not hold one vector for each text, all of one length, finite and not zero.
    """
    mapping_at(body)
    items = list_at(body, "data")
    by_index = {_index(item, place): _vector(item) for place, item in enumerate(items)}
    if len(items) != n_texts or by_index.keys() != set(range(n_texts)):
        raise Malformed(f"{len(items)} embeddings came for {n_texts} texts, numbered {sorted(by_index)[:8]}")
    vectors = tuple(by_index[index] for index in range(n_texts))
    if len({len(vector) for vector in vectors}) > 1:
        raise Malformed(f"embeddings of different lengths came: {sorted({len(vector) for vector in vectors})}")
    usage = Usage(input=count_at(body, "usage", "prompt_tokens") or count_at(body, "usage", "total_tokens"))
    return Embedded("", usage=usage, cost_usd=charge_at(at(body, "usage")), model=text_at(body, "model"), vectors=vectors)


def _index(item: object, place: int) -> int:
    """Reads which text a vector is of; servers that leave it out keep to the order."""
    found = at(item, "index")
    return found if isinstance(found, int) else place


def _vector(item: object) -> np.ndarray:
    numbers = list_at(item, "embedding")
    if not numbers or not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise Malformed(f"an embedding must be a list of finite numbers, got {str(at(item, 'embedding'))[:80]!r}")
    vector = np.array(numbers, dtype=np.float32)
    if not np.isfinite(vector).all() or not vector.any():
        raise Malformed("an embedding came whose numbers are all zero, or too large")
    return vector
