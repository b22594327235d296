"""Asks a model of embeddings at OpenAI, or at any server that speaks its format, through the official SDK."""

from __future__ import annotations

from typing import Any

from evolve.llm.base import Completion, ModelRequest
from evolve.llm.client import Client
from evolve.llm.embedding_format import read_embeddings
from evolve.llm.openai import json_of, open_client
from evolve.llm.specs import ModelSpec


class EmbeddingModel(Client):
    """A model behind OpenAI's ``/embeddings``: a `LanguageModel` whose completions are `Embedded`.

    It keeps to what `evolve.llm.openai.OpenAIModel` keeps to: one call, no key and no header to servers that they are not for.

    Args:
        spec: The model and how it is asked.
        key: Its key; None sends none.
    """

    def __init__(self, spec: ModelSpec, key: str | None) -> None:
        super().__init__(spec, (key,) if key else ())
        self._client = open_client(spec, key)

    async def close(self) -> None:
        await self._client.close()

    async def _ask(self, request: ModelRequest) -> Completion:
        texts = [message.text for message in request.messages]
        # Without the encoding that the SDK's own method asks for: numbers are what every server sends when it is not asked.
        body: dict[str, Any] = {"model": self._spec.model, "input": texts}  # Any: JSON values
        return read_embeddings(json_of(await self._client.post("/embeddings", cast_to=object, body=body)), len(texts))
