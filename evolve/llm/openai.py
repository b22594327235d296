"""Asks OpenAI, or any server that speaks its formats, through the official SDK (majors 2 and 3)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

import openai

from evolve.llm.base import Completion, Effort, ModelRequest
from evolve.llm.chat import EFFORTS, ChatStream, read_chat, turns
from evolve.llm.client import Client
from evolve.llm.faults import ServerError
from evolve.llm.responses import ResponsesStream, read_response
from evolve.llm.specs import Api, ModelSpec
from evolve.llm.transport import NO_KEY, terms_of

_OWN_URL = "https://api.openai.com/v1"
_Body = dict[str, Any]  # Any: JSON values


class _Pieces(Protocol):
    """What puts a streamed answer together."""

    @property
    def begun(self) -> bool: ...

    def take(self, event: object) -> None: ...

    def completion(self) -> Completion: ...


class OpenAIModel(Client):
    """A model behind OpenAI's Responses or Chat Completions.

    OpenAI itself is asked by Responses, any other server by Chat Completions, unless the settings name one. Of what the SDK
    reads from the environment, organisation, project and custom headers go to OpenAI itself and to nobody else; the address
    never comes from there.

    Args:
        spec: The model and how it is asked.
        key: Its key; None sends none.
    """

    def __init__(self, spec: ModelSpec, key: str | None) -> None:
        super().__init__(spec, (key,) if key else ())
        self._api = spec.settings.api or (Api.CHAT if spec.url else Api.RESPONSES)
        self._client = open_client(spec, key)

    async def close(self) -> None:
        await self._client.close()

    async def _ask(self, request: ModelRequest) -> Completion:
        if self._api is Api.RESPONSES:
            body = self._responses_body(request)
            if self._spec.settings.stream:
                return await self._streamed("/responses", body, ResponsesStream())
            return read_response(await self._whole("/responses", body))
        body = self._chat_body(request)
        if self._spec.settings.stream:
            return await self._streamed("/chat/completions", {**body, "stream_options": {"include_usage": True}}, ChatStream())
        return read_chat(await self._whole("/chat/completions", body))

    # By `post` rather than the SDK's methods for each path: those look at every message against its type, and make an object
    # of every answer and every event, which is taken apart again here. That costs more than all the rest of a call.

    async def _whole(self, path: str, body: _Body) -> object:
        return json_of(await self._client.post(path, cast_to=object, body=body))

    async def _streamed(self, path: str, body: _Body, pieces: _Pieces) -> Completion:
        events = await self._client.post(
            path, cast_to=object, body={**body, "stream": True}, stream=True, stream_cls=openai.AsyncStream[object]
        )
        async with events:
            return await _gathered(events, pieces)

    def _chat_body(self, request: ModelRequest) -> _Body:
        """Writes a request; OpenAI's reasoning models refuse ``max_tokens``, and local servers know nothing else."""
        limit = "max_tokens" if self._spec.url else "max_completion_tokens"
        body: _Body = {"model": self._spec.model, "messages": turns(request.messages), limit: request.max_tokens}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.seed is not None:
            body["seed"] = request.seed
        extra = dict(request.extra)
        if request.effort is not None:
            body["reasoning_effort"] = EFFORTS[request.effort]
        if request.effort is Effort.NONE and self._spec.url:
            # The switch of local reasoning models, in vLLM, SGLang and llama.cpp.
            extra.setdefault("chat_template_kwargs", {"enable_thinking": False})
        return {**body, **extra}

    def _responses_body(self, request: ModelRequest) -> _Body:
        """Writes a request; nothing of it is to be stored at the provider."""
        body: _Body = {
            "model": self._spec.model,
            "input": turns(request.said),
            "max_output_tokens": request.max_tokens,
            "store": False,
        }
        if request.system:
            body["instructions"] = request.system
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.effort is not None:
            body["reasoning"] = {"effort": EFFORTS[request.effort]}
        return {**body, **request.extra}


def open_client(spec: ModelSpec, key: str | None) -> openai.AsyncOpenAI:
    """Opens the SDK's client: it asks once, and gives up a server that is silent too long."""
    terms = terms_of(spec, key)
    timeout = openai.Timeout(terms.silence_s, connect=terms.connect_s)
    http = openai.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=terms.redirects, event_hooks=terms.hooks)
    return openai.AsyncOpenAI(
        api_key=key or NO_KEY, base_url=spec.url or _OWN_URL, timeout=timeout, max_retries=0, http_client=http
    )


def json_of(answer: object) -> object:
    """Reads JSON that its server calls text; what is none it passes on as it is."""
    try:
        return json.loads(answer) if isinstance(answer, str) else answer
    except ValueError:
        return answer


async def _gathered(stream: AsyncIterator[object], pieces: _Pieces) -> Completion:
    """Reads a stream to its end."""
    try:
        async for event in stream:
            pieces.take(event)
    except (openai.APIConnectionError, openai.APIStatusError):
        raise
    except openai.APIError as error:  # an event that reports one
        raise ServerError(error.body, begun=pieces.begun) from None
    return pieces.completion()
