"""OpenAI's Responses: what its answers say."""

from __future__ import annotations

from evolve.llm.base import Completion, Finish, Usage
from evolve.llm.faults import CutOff, Malformed, ServerError
from evolve.llm.reading import at, charge_at, count_at, finished, list_at, text_at, without_thoughts

_ENDS = ("response.completed", "response.incomplete", "response.failed")


def read_response(body: object) -> Completion:
    """Reads a whole answer.

    Raises:
        Malformed: If it has no output.
        ServerError: If it holds an error.
        CutOff: If it is not finished.
    """
    status = text_at(body, "status")
    if error := at(body, "error"):
        raise ServerError(error, begun=status == "failed")
    if at(body, "output") is None:
        raise Malformed(f"no output in {type(body).__name__} {str(body)[:80]!r}")
    if status in ("cancelled", "failed", "in_progress", "queued"):
        raise CutOff(f"the response is {status}")
    parts = [part for item in list_at(body, "output") if at(item, "type") == "message" for part in list_at(item, "content")]
    refusal = "".join(text_at(part, "refusal") for part in parts)
    text = without_thoughts("".join(text_at(part, "text") for part in parts)) or refusal
    finish = Finish.REFUSED if refusal else _finish(status, text_at(body, "incomplete_details", "reason"))
    return Completion(text, finished(text, finish), _usage(body), charge_at(at(body, "usage")), text_at(body, "model"))


def _finish(status: str, reason: str) -> Finish:
    if reason == "content_filter":
        return Finish.REFUSED
    return Finish.LENGTH if status == "incomplete" else Finish.STOP


def _usage(body: object) -> Usage | None:
    usage = at(body, "usage")
    if at(usage, "input_tokens") is None:
        return None
    return Usage(
        input=count_at(usage, "input_tokens"),
        cached=count_at(usage, "input_tokens_details", "cached_tokens"),
        output=count_at(usage, "output_tokens"),
        reasoning=count_at(usage, "output_tokens_details", "reasoning_tokens"),
        written=count_at(usage, "input_tokens_details", "cache_write_tokens"),
    )


class ResponsesStream:
    """Waits for the event that holds the whole answer; those before it only show that the server is at work."""

    def __init__(self) -> None:
        self._whole: object = None
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether the server has begun to answer."""
        return self._begun

    def take(self, event: object) -> None:
        """Adds an event.

        Raises:
            ServerError: If it is an error.
        """
        kind = text_at(event, "type")
        if kind == "error" or at(event, "error"):
            raise ServerError(at(event, "error") or _error(event), begun=self._begun)
        if kind in _ENDS:
            self._whole = at(event, "response")
        self._begun = self._begun or bool(kind)

    def completion(self) -> Completion:
        """Reads the whole, after the stream has ended.

        Raises:
            CutOff: If the event that ends an answer did not come.
            Malformed: If no event came.
        """
        if not self._begun:
            raise Malformed("no event came")
        if self._whole is None:
            raise CutOff("the stream ended without response.completed")
        return read_response(self._whole)


def _error(event: object) -> dict[str, str]:
    """Takes code and message of an event; its type says only that it is an error."""
    return {"code": text_at(event, "code"), "message": text_at(event, "message")}
