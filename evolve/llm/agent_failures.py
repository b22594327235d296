"""Tells from an agent's words why its call failed; its exit status says only that it did."""

from __future__ import annotations

import re

from evolve.llm.base import Failure

#: In this order: a message about a quota often speaks of a rate or a limit as well.
_SIGNS = (
    (
        Failure.UNAUTHORIZED,
        r"invalid api key|run /login|not logged in|log ?in (first|required)|unauthorized|authenticat|\b40[13]\b",
    ),
    (Failure.OUT_OF_QUOTA, r"usage limit|quota|credit balance|out of credits|hit your [\w ]*limit|(?<!rate )limit reached|billing"),
    (Failure.RATE_LIMITED, r"rate.?limit|too many requests|\b429\b"),
    (Failure.CONTEXT_OVERFLOW, r"prompt is too long|context (window|length)|maximum context|too many tokens"),
    (Failure.UNKNOWN_MODEL, r"(unknown|invalid) model|model\b.{0,60}(not found|not exist|not supported|not have access)"),
    (Failure.OVERLOADED, r"overloaded|at capacity|internal server error|service unavailable|\b5(00|02|03|04|29)\b"),
    (
        Failure.UNREACHABLE,
        r"enotfound|econnrefused|econnreset|connection (error|refused|reset)|could not resolve|network|fetch failed|"
        r"stream disconnected",
    ),
    (Failure.BAD_REQUEST, r"unexpected argument|unknown option|unrecognized (option|argument)|usage:|invalid value|\b400\b"),
)


def failure_of(words: str) -> Failure:
    """Tells why a call failed; `Failure.CUT_OFF` when nothing in the words says.

    Args:
        words: What the agent says of its failure, its last lines on standard error among it.
    """
    for failure, pattern in _SIGNS:
        if re.search(pattern, words, re.IGNORECASE):
            return failure
    return Failure.CUT_OFF
