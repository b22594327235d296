"""OpenAI's Chat Completions: how it is asked, and what its answers say. Most servers and routers speak it."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.llm.base import Completion, Effort, Finish, Message, Usage
from evolve.llm.faults import CutOff, Malformed, ServerError
from evolve.llm.reading import at, charge_at, count_at, finished, mapping_at, text_at, without_thoughts

#: Effort as OpenAI calls it.
EFFORTS = {
    Effort.NONE: "none",
    Effort.MINIMAL: "minimal",
    Effort.LOW: "low",
    Effort.MEDIUM: "medium",
    Effort.HIGH: "high",
    Effort.MAX: "xhigh",
}
_FINISHES = {"length": Finish.LENGTH, "max_tokens": Finish.LENGTH, "content_filter": Finish.REFUSED, "refusal": Finish.REFUSED}


def turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Writes a conversation."""
    return [{"role": message.role.value, "content": message.text} for message in messages]


def read_chat(body: object) -> Completion:
    """Reads a whole answer.

    Raises:
        Malformed: If it has no choice.
        ServerError: If it holds an error, as routers answer with status 200.
    """
    if error := at(body, "error") or at(body, "choices", 0, "error"):
        raise ServerError(error)
    message = mapping_at(body, "choices", 0, "message")
    finish = _finish(text_at(body, "choices", 0, "finish_reason"), refusal=bool(message.get("refusal")))
    text = text_at(message, "content") or text_at(message, "refusal")
    return _completion(text, finish, body, read_usage(at(body, "usage")))


def read_usage(usage: object) -> Usage | None:
    """Reads counts of tokens; None when there are none."""
    if at(usage, "prompt_tokens") is None:
        return None
    return Usage(
        input=count_at(usage, "prompt_tokens"),
        cached=count_at(usage, "prompt_tokens_details", "cached_tokens"),
        output=count_at(usage, "completion_tokens"),
        reasoning=count_at(usage, "completion_tokens_details", "reasoning_tokens"),
        written=count_at(usage, "prompt_tokens_details", "cache_write_tokens"),
    )


def _finish(reason: str, *, refusal: bool) -> Finish:
    return Finish.REFUSED if refusal else _FINISHES.get(reason, Finish.STOP)


def _completion(text: str, finish: Finish, body: object, usage: Usage | None) -> Completion:
    text = without_thoughts(text)
    return Completion(text, finished(text, finish), usage, charge_at(at(body, "usage")), text_at(body, "model"))


class ChatStream:
    """Puts an answer together from its chunks."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._refused = False
        self._reason = ""
        self._begun = False
        self._last: dict[str, object] = {}

    @property
    def begun(self) -> bool:
        """Whether anything of the answer has come, thoughts included."""
        return self._begun

    def take(self, chunk: object) -> None:
        """Adds a chunk.

        Raises:
            Malformed: If it is not an object.
            ServerError: If it holds an error.
        """
        mapping_at(chunk)
        if error := at(chunk, "error") or at(chunk, "choices", 0, "error"):
            raise ServerError(error, begun=self.begun)
        self._begun = True
        delta = at(chunk, "choices", 0, "delta")
        self._refused = self._refused or bool(text_at(delta, "refusal"))
        self._pieces += filter(None, (text_at(delta, "content"), text_at(delta, "refusal")))
        self._reason = text_at(chunk, "choices", 0, "finish_reason") or self._reason
        for name in ("model", "usage"):
            if at(chunk, name):
                self._last[name] = at(chunk, name)

    def completion(self) -> Completion:
        """Reads the whole, after the stream has ended.

        Raises:
            CutOff: If no chunk said why the answer ended.
            Malformed: If there was no chunk.
        """
        if not self._begun:
            raise Malformed("no event came")
        if not self._reason:
            raise CutOff("the stream ended without a finish_reason")
        finish = _finish(self._reason, refusal=self._refused)
        return _completion("".join(self._pieces), finish, self._last, read_usage(self._last.get("usage")))
