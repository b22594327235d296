"""Asks Anthropic, or a server that speaks its Messages, through the official SDK."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anthropic

from evolve.llm.base import Completion, Effort, Finish, Message, ModelRequest, Usage
from evolve.llm.client import Client
from evolve.llm.faults import CutOff, Malformed, ServerError
from evolve.llm.reading import at, count_at, finished, list_at, mapping_at, text_at, without_thoughts
from evolve.llm.specs import ModelSpec
from evolve.llm.transport import NO_KEY, terms_of

_OWN_URL = "https://api.anthropic.com"
_Body = dict[str, Any]  # Any: JSON values
_OFF = {"type": "disabled"}
_CACHED = {"cache_control": {"type": "ephemeral"}}
_FINISHES = {
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "refusal": Finish.REFUSED,
}
#: Answers longer than this are streamed, whatever the settings say: the SDK holds that they may take more than ten minutes,
#: and networks drop connections that are silent for so long.
_LONGEST_WHOLE = 21_333
#: Models that think by a budget of tokens; those after Claude 4.5 decide by themselves, given an effort.
_BY_BUDGET = re.compile(r"claude-3.*|claude-(opus|sonnet|haiku)-4(-[015])?(-\d{8}|-latest)?")
_BUDGETS = {Effort.MINIMAL: 1024, Effort.LOW: 2048, Effort.MEDIUM: 4096, Effort.HIGH: 8192, Effort.MAX: 16384}
_SMALLEST_BUDGET = 1024
_EFFORTS = {Effort.MINIMAL: "low", Effort.LOW: "low", Effort.MEDIUM: "medium", Effort.HIGH: "high", Effort.MAX: "max"}


class AnthropicModel(Client):
    """A model behind Anthropic's Messages.

    System text is marked for the prompt cache, and in a conversation of several turns the first message too. A model that
    thinks takes no temperature: it is left out then.

    Args:
        spec: The model and how it is asked.
        key: Its key; None sends none.
    """

    def __init__(self, spec: ModelSpec, key: str | None) -> None:
        super().__init__(spec, (key,) if key else ())
        terms = terms_of(spec, key)
        timeout = anthropic.Timeout(terms.silence_s, connect=terms.connect_s)
        http = anthropic.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=terms.redirects, event_hooks=terms.hooks)
        self._client = anthropic.AsyncAnthropic(
            api_key=key or NO_KEY,
            base_url=spec.url.removesuffix("/v1") or _OWN_URL,
            timeout=timeout,
            max_retries=0,
            http_client=http,
        )

    async def close(self) -> None:
        await self._client.close()

    async def _ask(self, request: ModelRequest) -> Completion:
        body = self._body(request)
        if self._spec.settings.stream or request.max_tokens > _LONGEST_WHOLE:
            stream = await self._client.messages.create(**body, stream=True)
            async with stream:
                return await _gathered(stream)
        return read_message(_json(await self._client.messages.create(**body)))

    def _body(self, request: ModelRequest) -> _Body:
        said = request.said
        body: _Body = {
            "model": self._spec.model,
            "max_tokens": request.max_tokens,
            "messages": [_turn(message, cached=number == 0 and len(said) > 1) for number, message in enumerate(said)],
        }
        if request.system:
            body["system"] = [{"type": "text", "text": request.system, **_CACHED}]
        # Beside the SDK's own arguments: which of these it has depends on its version.
        beside = self._thinking(request)
        if request.temperature is not None and beside.get("thinking", _OFF) == _OFF:
            beside["temperature"] = request.temperature
        beside |= request.extra
        return {**body, "extra_body": beside} if beside else body

    def _thinking(self, request: ModelRequest) -> _Body:
        """Says how long to think, in the way that the model knows; a budget leaves a quarter of the tokens to the answer."""
        if request.effort is None:
            return {}
        if request.effort is Effort.NONE:
            return {"thinking": _OFF}
        if not self._spec.url and not _BY_BUDGET.fullmatch(self._spec.model):
            return {"thinking": {"type": "adaptive"}, "output_config": {"effort": _EFFORTS[request.effort]}}
        budget = min(_BUDGETS[request.effort], request.max_tokens * 3 // 4)
        return {"thinking": {"type": "enabled", "budget_tokens": budget} if budget >= _SMALLEST_BUDGET else _OFF}


def _turn(message: Message, *, cached: bool) -> _Body:
    block = {"type": "text", "text": message.text, **(_CACHED if cached else {})}
    return {"role": message.role.value, "content": [block]}


def read_message(body: object) -> Completion:
    """Reads a whole answer.

    Raises:
        Malformed: If it has no content.
        ServerError: If it is an error.
    """
    if at(body, "type") == "error":
        raise ServerError(at(body, "error"))
    if not isinstance(at(body, "content"), list):
        raise Malformed(f"no content in {type(body).__name__} {str(body)[:80]!r}")
    blocks = [text_at(block, "text") for block in list_at(body, "content") if at(block, "type") == "text"]
    text = without_thoughts("".join(blocks))
    finish = _FINISHES.get(text_at(body, "stop_reason"), Finish.STOP)
    return Completion(text, finished(text, finish), _usage(at(body, "usage")), model=text_at(body, "model"))


def _usage(usage: object) -> Usage | None:
    """Reads counts of tokens; what was written to or read from the cache stands beside the other input."""
    if at(usage, "output_tokens") is None:
        return None
    cached, written = count_at(usage, "cache_read_input_tokens"), count_at(usage, "cache_creation_input_tokens")
    return Usage(
        input=count_at(usage, "input_tokens") + written + cached,
        cached=cached,
        output=count_at(usage, "output_tokens"),
        reasoning=count_at(usage, "output_tokens_details", "thinking_tokens"),
        written=written,
    )


class MessageStream:
    """Puts an answer together from its events."""

    def __init__(self) -> None:
        self._message: dict[str, object] = {}
        self._pieces: list[str] = []
        self._ended = False

    @property
    def begun(self) -> bool:
        """Whether the server has begun to answer."""
        return bool(self._message)

    def take(self, event: object) -> None:
        """Adds an event; counts of tokens that come later replace earlier ones."""
        kind = text_at(event, "type")
        if kind == "message_start":
            self._message = dict(mapping_at(event, "message"))
        elif kind == "content_block_delta":
            self._pieces.append(text_at(event, "delta", "text"))
        elif kind == "message_delta":
            self._message["stop_reason"] = at(event, "delta", "stop_reason")
            counts = [at(self._message, "usage"), at(event, "usage")]
            known = [{k: v for k, v in count.items() if v is not None} for count in counts if isinstance(count, Mapping)]
            self._message["usage"] = {name: value for count in known for name, value in count.items()}
        self._ended = self._ended or kind == "message_stop"

    def completion(self) -> Completion:
        """Reads the whole, after the stream has ended.

        Raises:
            Malformed: If it never began.
            CutOff: If the event that ends an answer did not come.
        """
        if not self.begun:
            raise Malformed("no event came")
        if not self._ended:
            raise CutOff("the stream ended without message_stop")
        return read_message({**self._message, "content": [{"type": "text", "text": "".join(self._pieces)}]})


def _json(answer: object) -> object:
    """Takes the SDK's object apart; what is no JSON object it passes on as it is."""
    return answer.to_dict(mode="json", warnings=False) if isinstance(answer, anthropic.BaseModel) else answer


async def _gathered(stream: AsyncIterator[object]) -> Completion:
    """Reads a stream to its end."""
    pieces = MessageStream()
    try:
        async for event in stream:
            pieces.take(_json(event))
    except anthropic.APIStatusError as error:  # an event that reports one, under the stream's own status
        raise ServerError(error.body, begun=pieces.begun) from None
    return pieces.completion()
