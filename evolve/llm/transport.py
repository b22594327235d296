"""Keeps what the environment holds from servers it is not meant for.

The SDKs read keys, organisations and whole headers from environment variables, wherever a request goes. A server that a user
named by URL gets nothing of that: of a request's headers only those of the protocol are left, and the key only if it was given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Protocol

#: What the SDKs are given where there is no key: they refuse to start without one. It is taken out again.
NO_KEY = "none"
#: Longest wait for a connection.
CONNECT_S = 30.0

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


def stall_s(timeout_s: float, *, stream: bool) -> float:
    """Says how long a server may be silent: half of the whole time when the answer is read as it is made."""
    return timeout_s / 2 if stream else timeout_s
