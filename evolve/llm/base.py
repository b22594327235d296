"""The `LanguageModel` protocol and what crosses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from evolve.errors import Exhausted, ModelError


class Role(StrEnum):
    """Whose words a message holds."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    text: str


class Effort(StrEnum):
    """How long a reasoning model may think; each provider maps it to its own setting."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a model is asked.

    Attributes:
        messages: System text first, if any; the last is the user's.
        max_tokens: Of the answer, reasoning included; the provider cuts it off there.
        temperature: Spread of sampling; None leaves it to the provider.
        effort: How long to think; None leaves it to the provider.
        seed: For servers that sample repeatably; others ignore it.
        files: The program in question, by path: only agents that work in a folder look at it.
        extra: Fields added to the request's body as they are, such as ``{"grammar": "..."}`` for llama.cpp.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None = None
    effort: Effort | None = None
    seed: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON values

    @property
    def system(self) -> str:
        """The system text, for formats that take it apart from the conversation; empty without any."""
        return "\n\n".join(message.text for message in self.messages if message.role is Role.SYSTEM)

    @property
    def said(self) -> tuple[Message, ...]:
        """The conversation without the system text."""
        return tuple(message for message in self.messages if message.role is not Role.SYSTEM)


class Usage(NamedTuple):
    """Tokens as the provider counts them.

    Attributes:
        input: All tokens asked, cached ones included.
        cached: Those of ``input`` that were read from a prompt cache, at their own price.
        output: All tokens answered, reasoning included.
        reasoning: Those of ``output`` that were thought and not shown.
        written: Those of ``input`` that were written to a prompt cache, at their own price; none of them are in ``cached``.
    """

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    written: int = 0


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    """Cut off at ``max_tokens``: what is there is not whole."""
    REFUSED = "refused"
    """The model, or a filter before it, would not answer."""
    EMPTY = "empty"
    """Nothing but blanks, though it ended of itself."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered.

    Attributes:
        text: The answer; what was thought is not in it.
        finish: Why it ended.
        usage: Tokens as the server says; None when it says nothing of them.
        cost_usd: What it cost as the provider or agent reports it; None leaves it to the price table.
        model: As the server calls itself, such as a dated snapshot.
    """

    text: str
    finish: Finish = Finish.STOP
    usage: Usage | None = None
    cost_usd: float | None = None
    model: str = ""

    @property
    def counted(self) -> Usage | None:
        """The usage where the server counts; None where it says nothing, or zero of what cannot have been zero.

        A prompt is never of no tokens, and an answer with text in it or cut off at its longest length is not either.
        """
        if self.usage is None or self.usage.input <= 0:
            return None
        said_something = bool(self.text) or self.finish is Finish.LENGTH
        return None if self.usage.output <= 0 and said_something else self.usage


class Failure(StrEnum):
    """Why a call brought no answer."""

    UNREACHABLE = "unreachable"
    """No connection: name, route, refused, TLS."""
    TIMED_OUT = "timed_out"
    CUT_OFF = "cut_off"
    """The connection ended in the middle of the answer."""
    MALFORMED = "malformed"
    """An answer came that is not what the wire format says."""
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    """The server's fault: status 5xx, or 529."""
    OUT_OF_QUOTA = "out_of_quota"
    """The account's money or monthly quota is used up; waiting a little does not help."""
    UNAUTHORIZED = "unauthorized"
    """Key missing, wrong, or without the right to this model."""
    UNKNOWN_MODEL = "unknown_model"
    CONTEXT_OVERFLOW = "context_overflow"
    """The prompt, or prompt and answer together, are longer than the model can take."""
    BAD_REQUEST = "bad_request"
    """The server understood and refused: a setting that the model does not have."""

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self in _TRANSIENT

    @property
    def charged(self) -> bool:
        """Whether tokens may have been made, and so paid for, although no answer came."""
        return self in _CHARGED


_TRANSIENT = frozenset(
    (Failure.UNREACHABLE, Failure.TIMED_OUT, Failure.CUT_OFF, Failure.MALFORMED, Failure.RATE_LIMITED, Failure.OVERLOADED)
)
_CHARGED = frozenset((Failure.TIMED_OUT, Failure.CUT_OFF, Failure.MALFORMED))


class CallFailed(ModelError):
    """One call brought no answer.

    Attributes:
        failure: Why.
        retry_after_s: How long the server asks to wait; None when it does not say.
    """

    def __init__(self, message: str, failure: Failure, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.failure = failure
        self.retry_after_s = retry_after_s


class TriedInVain(CallFailed, Exhausted):
    """The last failure of a request that was sent as often as allowed."""


class LanguageModel(Protocol):
    """Answers a request with one call: no retries, no waiting for a turn, no bookkeeping (see `evolve.llm.calling`).

    **Errors.** `complete` raises `CallFailed` and nothing else, whatever the SDK below raises. Neither its message nor any
    other text that leaves a client holds a key. Cancelling the task that awaits `complete` closes the connection.

    **Concurrency.** Any number of calls at once.
    """

    @property
    def name(self) -> str:
        """``PROVIDER/MODEL``, as records and messages call it."""
        ...

    async def complete(self, request: ModelRequest) -> Completion:
        """Answers a request."""
        ...

    async def close(self) -> None:
        """Closes connections; closing twice does nothing."""
        ...
