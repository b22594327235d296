"""Keeps what the environment holds from servers it is not meant for.

The SDKs read keys, organisations and whole headers from environment variables, wherever a request goes. A server that a user
named by URL gets nothing of that: of a request's headers only those of the protocol are left, and the key only if it was given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple, Protocol

from evolve.llm.specs import ModelSpec

#: What the SDKs are given where there is no key: they refuse to start without one. It is taken out again.
NO_KEY = "none"
#: Longest wait for a connection.
_CONNECT_S = 30.0

_PROTOCOL = frozenset(
    (
        "accept",
        "accept-encoding",
        "anthropic-beta",
        "anthropic-version",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "transfer-encoding",
        "user-agent",
    )
)
#: The SDKs read these back from the request, to know how they were called.
_SDKS_OWN = "x-stainless-"
_KEYS = frozenset(("authorization", "x-api-key"))


class Request(Protocol):
    """What both generations of the HTTP library pass to a hook."""

    @property
    def headers(self) -> MutableMapping[str, str]:
        """Of the request, about to be sent."""
        ...


def only_protocol(key: str | None) -> Callable[[Request], Awaitable[None]]:
    """Makes a hook that takes all but the protocol's headers out of a request.

    Args:
        key: The key given for this server; headers that hold another one are taken out too.
    """

    async def strip(request: Request) -> None:
        for name, value in list(request.headers.items()):
            ours = key is not None and name.lower() in _KEYS and key in value
            if name.lower() not in _PROTOCOL and not name.lower().startswith(_SDKS_OWN) and not ours:
                del request.headers[name]

    return strip


class Terms(NamedTuple):
    """How an HTTP client is to treat a server.

    Attributes:
        silence_s: How long the server may be silent.
        connect_s: How long a connection may take.
        redirects: Whether redirects are followed: never, for one would take the key to a host that nobody named.
        hooks: Called with every request before it is sent.
    """

    silence_s: float
    connect_s: float
    redirects: bool
    hooks: dict[str, list[Callable[..., Any]]]  # Any: both generations of the HTTP library have types of their own


def terms_of(spec: ModelSpec, key: str | None) -> Terms:
    """Says how the HTTP client of an SDK is to treat a model's server.

    Args:
        spec: The model and how it is asked.
        key: Its key; None sends none.
    """
    silence_s = stall_s(spec.settings.timeout_s, stream=spec.settings.stream)
    hooks = {"request": [only_protocol(key)]} if spec.url else {}
    return Terms(silence_s, min(_CONNECT_S, silence_s), redirects=False, hooks=hooks)


def stall_s(timeout_s: float, *, stream: bool) -> float:
    """Says how long a server may be silent: half of the whole time when the answer is read as it is made."""
    return timeout_s / 2 if stream else timeout_s
