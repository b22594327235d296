"""What everybody who asks a language model shares: how it is asked, and what is kept of its answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from evolve.llm.base import CallFailed, Failure, Message, ModelRequest
from evolve.llm.calling import Called
from evolve.llm.specs import ModelSpec
from evolve.program import Files, Reply

#: How often a prompt that turns out too long for its model is shortened, and to what part of its length.
_SHORTENINGS = 4
_SHORTER = 0.7
_NOTHING: Mapping[str, Any] = MappingProxyType({})  # Any: JSON values


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked.

    Attributes:
        spec: Which model, with its settings.
        prompt_tokens: The longest prompt, in tokens as they are estimated.
        brief: Whether prompts are fewer and simpler words, for small models.
        in_folder: Whether the model edits the program's files, as coding agents do, and its answer is made from them.
        answered: Finds what was answered to exactly the same request before, by its hash; None where nothing is looked up.
    """

    spec: ModelSpec
    prompt_tokens: int
    brief: bool = False
    in_folder: bool = False
    answered: Callable[[str], Reply | None] | None = None

    def request(
        self,
        messages: tuple[Message, ...],
        seed: int | None,
        *,
        files: Files = _NOTHING,
        extra: Mapping[str, Any] = _NOTHING,  # Any: JSON values
    ) -> ModelRequest:
        """Makes a request with the settings of the model.

        Args:
            messages: What it is told.
            seed: For servers that sample repeatably.
            files: The program in question, for agents that work in a folder.
            extra: Fields added to the request's body.
        """
        settings = self.spec.settings
        return ModelRequest(messages, settings.max_tokens, settings.temperature, settings.effort, seed, files, extra)

    def key(self, request: ModelRequest) -> str:
        """Hashes exactly what the model is asked: the model, its server, the messages and every setting."""
        settings = [request.max_tokens, request.temperature, request.effort, request.seed, dict(request.extra)]
        text = json.dumps([self.spec.name, self.spec.url, written(request.messages), settings], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def reply(self, called: Called, request: ModelRequest, parents: tuple[str, ...] = ()) -> Reply:
        """Makes what is kept of an answer.

        Args:
            called: The answer, and what it took to get it.
            request: What it answers.
            parents: Programs besides the parent that it may have taken source from.
        """
        return Reply(
            text=called.completion.text,
            parents=parents,
            prompt=written(request.messages),
            tokens_in=called.usage.input,
            tokens_out=called.usage.output,
            cost_usd=called.cost_usd,
            latency_s=called.latency_s,
            finish=called.completion.finish.value,
            request_sha256=self.key(request),
        )


class _Sized(Protocol):
    @property
    def tokens(self) -> int:
        """Of a prompt, as they are estimated."""
        ...


Sized = TypeVar("Sized", bound=_Sized)


async def within_context(
    write: Callable[[int], Sized], ask: Callable[[Sized], Awaitable[Reply]], tokens: int, *, shorten: bool = True
) -> Reply:
    """Asks, and again with a shorter prompt where the model finds it too long.

    Estimates of tokens are rough, and servers are started with less context than their model has.

    Args:
        write: Writes the prompt within so many tokens.
        ask: Gets an answer to it.
        tokens: The longest prompt.
        shorten: Whether there is anything to leave out.

    Raises:
        CallFailed: If there is no answer; also if the shortest prompt is too long.
    """
    for left in reversed(range(_SHORTENINGS if shorten else 1)):
        prompt = write(tokens)
        try:
            return await ask(prompt)
        except CallFailed as failed:
            if failed.failure is not Failure.CONTEXT_OVERFLOW or not left:
                raise
            tokens = int(min(tokens, prompt.tokens) * _SHORTER)
    raise AssertionError("the last try returns or raises")


def written(messages: tuple[Message, ...]) -> str:
    """Writes a conversation as records hold it: JSON, a list of ``[role, text]``."""
    return json.dumps([[message.role.value, message.text] for message in messages], ensure_ascii=False)
