"""Turns whatever went wrong in a call into `CallFailed`, the same way for every client.

Providers and servers say the same thing in different ways: by status, by a code in the body, or only in words. The exceptions of
the SDKs are told apart by the names of their classes, because their two generations stand on different HTTP libraries whose
classes have the same names.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable
from urllib.parse import urlsplit

from evolve.llm.base import CallFailed, Completion, Failure, Finish
from evolve.llm.specs import ModelSpec

_OWN_HOSTS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com", "litellm": "its provider", "agent": "this machine"}
_LONGEST_WORDS = 300

_QUOTA = re.compile(
    r"insufficient[_ ](quota|credits?|balance|funds)|exceeded your current quota|credit balance is too low|billing_hard_limit|"
    r"billing_not_active|quota_exceeded"
)
_OVERFLOW = re.compile(
    r"context[_ ]length[_ ]exceeded|exceed_context_size|context_window_exceeded|contextwindowexceeded|maximum context length|"
    r"prompt is too long|exceeds? (the )?(available |model'?s? )?context|exceeds? the context window|"
    r"exceeds? the maximum (number of )?(input )?tokens|input is too long|prompt too long|request_too_large|"
    r"input length and `max_tokens` exceed|is too large to process|must have less than \d+ tokens"
)
_UNKNOWN_MODEL = re.compile(r"model_not_found|not a valid model|model .{0,80}(does not exist|not found)|unknown model")
_FILTERED = re.compile(r"content_filter|content_policy_violation|contentpolicyviolation|responsibleaipolicy")
_RATE = re.compile(r"rate_limit|ratelimit|too many requests")
_OVERLOADED = re.compile(r"overloaded|server_error|internalservererror|api_error|service_?unavailable|server_busy")
_KEY = re.compile(r"invalid_api_key|authentication_error|authenticationerror|permission_error|permissiondenied")

#: Classes of the HTTP libraries and of JSON, which say what happened.
_CLASSES = {
    "ConnectTimeout": Failure.UNREACHABLE,
    "PoolTimeout": Failure.UNREACHABLE,
    "ConnectError": Failure.UNREACHABLE,
    "ProxyError": Failure.UNREACHABLE,
    "UnsupportedProtocol": Failure.UNREACHABLE,
    "InvalidURL": Failure.UNREACHABLE,
    "TimeoutException": Failure.TIMED_OUT,
    "TimeoutError": Failure.TIMED_OUT,
    "DecodingError": Failure.MALFORMED,
    "TransportError": Failure.CUT_OFF,
    "StreamError": Failure.CUT_OFF,
    "JSONDecodeError": Failure.MALFORMED,
    "UnicodeDecodeError": Failure.MALFORMED,
    "ValidationError": Failure.MALFORMED,
    "APIResponseValidationError": Failure.MALFORMED,
}
#: Classes of the SDKs, which wrap the former and say less.
_WRAPPERS = {"APITimeoutError": Failure.TIMED_OUT, "Timeout": Failure.TIMED_OUT, "APIConnectionError": Failure.UNREACHABLE}
_WHAT = {
    Failure.UNREACHABLE: ("cannot be reached", "check the URL, that the server runs, and the network"),
    Failure.TIMED_OUT: ("gave no answer in time", "raise timeout_s, or ask for shorter answers with max_tokens"),
    Failure.CUT_OFF: ("broke off in the middle of its answer", "try again"),
    Failure.MALFORMED: ("answered something that is not its wire format", "check that the URL is that of the model's API"),
    Failure.RATE_LIMITED: ("takes no more calls for now", "lower concurrency, per_minute or tokens_per_minute"),
    Failure.OVERLOADED: ("failed", "try again later"),
    Failure.OUT_OF_QUOTA: ("has no quota left for this key", "add credit, or use another model"),
    Failure.UNAUTHORIZED: ("refused the key", "check the key in {key_env}, and its rights"),
    Failure.UNKNOWN_MODEL: (
        "knows no such model or path",
        "check the model's name, and that the URL ends as the server wants (often /v1)",
    ),
    Failure.CONTEXT_OVERFLOW: ("cannot take so long a prompt", "set context to what the server has, or lower max_tokens"),
    Failure.BAD_REQUEST: ("refused the request", "check the model's settings, such as temperature, effort and max_tokens"),
}


@runtime_checkable
class _Response(Protocol):
    headers: Mapping[str, str]


@runtime_checkable
class _StatusError(Protocol):
    """What the SDKs raise when a server answers with an error."""

    status_code: int


@runtime_checkable
class _WithResponse(Protocol):
    response: object


@runtime_checkable
class _WithBody(Protocol):
    body: object


@runtime_checkable
class _LiteLLMError(Protocol):
    litellm_response_headers: Mapping[str, str] | None


class ServerError(Exception):
    """A server said within an answer that something went wrong.

    Attributes:
        body: What it said, as JSON.
        begun: Whether a part of the answer had come.
    """

    def __init__(self, body: object, *, begun: bool = False) -> None:
        super().__init__("the server reported an error within its answer")
        self.body = body
        self.begun = begun


class Malformed(Exception):
    """An answer came that is not what the wire format says; the message says what is missing."""


class CutOff(Exception):
    """An answer ended before its end."""


class Complaint(NamedTuple):
    """What a server said of a call that it did not answer.

    Attributes:
        status: Of HTTP; None when the error came otherwise.
        codes: Its codes and types, joined.
        words: Its message.
    """

    status: int | None
    codes: str
    words: str


async def guarded(
    spec: ModelSpec, secrets: Collection[str], answer: Awaitable[Completion], *, clock: Callable[[], float] = time.time
) -> Completion:
    """Waits for an answer no longer than the model's ``timeout_s``, and lets nothing but `CallFailed` out.

    Args:
        spec: Of the model, for messages.
        secrets: Keys, cut out of messages.
        answer: What is waited for.
        clock: Seconds since 1970, for servers that name the time at which to come back.

    Raises:
        CallFailed: If no answer came. It has no cause: the SDK's own exceptions hold the request, and with it the key.
    """
    try:
        async with asyncio.timeout(spec.settings.timeout_s):
            return await answer
    except CallFailed as error:
        failed = error
    except Exception as error:  # noqa: BLE001 - the protocol allows nothing else out, whatever an SDK raises
        complaint = complaint_of(error)
        if _FILTERED.search(complaint.codes.lower()):
            return Completion("", Finish.REFUSED)
        failed = call_failed(spec, secrets, failure_of(error, complaint), complaint, retry_after_s(headers_of(error), clock))
    raise failed


def call_failed(
    spec: ModelSpec, secrets: Collection[str], failure: Failure, complaint: Complaint, wait_s: float | None = None
) -> CallFailed:
    """Words a failure: which model, where, what happened in the server's words, and what to do."""
    what, advice = _WHAT[failure]
    key_env = f"the environment variable {spec.key_env}" if spec.key_env else "a variable that key_env=NAME names (none is sent)"
    status = f" (status {complaint.status})" if complaint.status is not None else ""
    words = " ".join(masked(complaint.words, secrets).split())
    if len(words) > _LONGEST_WORDS:
        words = words[:_LONGEST_WORDS] + "..."
    said = f": {words}" if words else ""
    return CallFailed(
        f"model {spec.name} at {host_of(spec)} {what}{status}{said}; {advice.format(key_env=key_env)}", failure, wait_s
    )


def masked(text: str, secrets: Collection[str]) -> str:
    """Cuts keys out of a text; longer ones first, for one may be the beginning of another."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def host_of(spec: ModelSpec) -> str:
    """Names the host that a model is asked at, without a user or password that a URL may hold."""
    parts = urlsplit(spec.url)
    if not parts.hostname:
        return _OWN_HOSTS[spec.provider]
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname


def complaint_of(error: BaseException) -> Complaint:
    """Reads what a server said out of an exception; without a server, the exception's own words."""
    status = error.status_code if isinstance(error, _StatusError) and isinstance(error.status_code, int) else None
    body = error.body if isinstance(error, _WithBody) else None
    details = _unwrapped(body)
    codes = [str(details[name]) for name in ("code", "type", "status") if details.get(name) is not None]
    if isinstance(error, ServerError) and status is None:
        status = next((int(code) for code in codes if re.fullmatch(r"[345]\d\d", code)), None)
    words = next((str(details[name]) for name in ("message", "detail", "error") if details.get(name)), "")
    if not words and isinstance(body, str):
        words = re.sub(r"<[^>]*>", " ", body)
    return Complaint(status, " ".join([*codes, *_names(error)]), words or _own_words(error))


def _unwrapped(body: object) -> Mapping[str, Any]:  # Any: JSON values
    """Finds the object that holds the message, whichever way a server wraps it."""
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        return _unwrapped(body["error"])
    return body if isinstance(body, Mapping) else {}


def _own_words(error: BaseException) -> str:
    """Takes an exception's message, or that of what caused it where its own says nothing (``Connection error.``)."""
    chain = [str(link) for link in _chain(error)]
    return next((text for text in reversed(chain) if text), type(error).__name__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _names(error: BaseException) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__[:-2]]


def failure_of(error: BaseException, complaint: Complaint) -> Failure:
    """Says why a call failed."""
    if isinstance(error, CutOff):
        return Failure.CUT_OFF
    if isinstance(error, Malformed):
        return Failure.MALFORMED
    if isinstance(error, ServerError):
        failure = _by_complaint(complaint) or Failure.OVERLOADED
        # Tokens were made, and may be charged: only a broken answer says so.
        return Failure.CUT_OFF if error.begun and failure.transient else failure
    if complaint.status is not None and complaint.status < 300:
        return Failure.MALFORMED
    if complaint.status is None and (by_class := _by_class(error)) is not None:
        return by_class
    return _by_complaint(complaint) or Failure.BAD_REQUEST


def _by_class(error: BaseException) -> Failure | None:
    names = [name for link in _chain(error) for name in _names(link)]
    return next((table[name] for table in (_CLASSES, _WRAPPERS) for name in names if name in table), None)


def _by_complaint(complaint: Complaint) -> Failure | None:
    """Decides by codes and words first: one status stands for several things."""
    status, codes = complaint.status, complaint.codes.lower()
    text = f"{codes} {complaint.words.lower()}"
    if status == 402 or _QUOTA.search(text):
        return Failure.OUT_OF_QUOTA
    if status == 413 or (status not in (401, 403, 429) and _OVERFLOW.search(text)):
        return Failure.CONTEXT_OVERFLOW
    if status == 404 or (status in (None, 400) and _UNKNOWN_MODEL.search(text)):
        return Failure.UNKNOWN_MODEL
    return _by_status(status) if status is not None else _by_codes(codes)


def _by_status(status: int) -> Failure | None:
    if status in (401, 403):
        return Failure.UNAUTHORIZED
    if status == 408:
        return Failure.TIMED_OUT
    if status == 429:
        return Failure.RATE_LIMITED
    return Failure.OVERLOADED if status >= 500 or status in (409, 425) else None


def _by_codes(codes: str) -> Failure | None:
    for pattern, failure in ((_RATE, Failure.RATE_LIMITED), (_OVERLOADED, Failure.OVERLOADED), (_KEY, Failure.UNAUTHORIZED)):
        if pattern.search(codes):
            return failure
    return None


def headers_of(error: BaseException) -> Mapping[str, str]:
    """Finds the headers of the response that an exception holds, if any."""
    response = error.response if isinstance(error, _WithResponse) else None
    headers = response.headers if isinstance(response, _Response) else None
    return headers or (error.litellm_response_headers if isinstance(error, _LiteLLMError) else None) or {}


def innermost(error: BaseException, wrapper: str) -> BaseException:
    """Looks below what a package wraps its own exceptions around, if that says what happened.

    Args:
        error: What the package raised.
        wrapper: The package's name.
    """
    below: BaseException | None = error
    while below is not None and type(below).__module__.partition(".")[0] == wrapper:
        below = below.__cause__ or below.__context__
    known = below is not None and (isinstance(below, _StatusError) or _by_class(below) is not None)
    return below if below is not None and known else error


def retry_after_s(headers: Mapping[str, str], clock: Callable[[], float]) -> float | None:
    """Reads how long a server asks to wait: ``retry-after-ms``, or ``Retry-After`` as seconds or as a date.

    Args:
        headers: Of the response; names are looked up in small letters, as HTTP libraries allow.
        clock: Seconds since 1970.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    written = headers.get("retry-after")
    seconds = _number(written)
    if seconds is not None or written is None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(written).timestamp() - clock())
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
