"""What a call may cost, and what it did cost."""

from __future__ import annotations

import math
from typing import NamedTuple

from evolve.llm.base import CallFailed, Completion, Finish, ModelRequest, Usage
from evolve.llm.prices import FREE, Price, typical_tokens, upper_bound_tokens
from evolve.llm.specs import ModelSettings


class Bill(NamedTuple):
    """How a call ended and what it cost.

    Attributes:
        outcome: In the words of records: ``ok``, how else an answer ended, why there is none, or ``cancelled``.
        usd: What it cost.
        usage: Its tokens; estimated where an answer's server counts none.
        presumed: Whether ``usd`` is the most that it can have cost, for want of anything better.
        error: What went wrong; empty where nothing did.
    """

    outcome: str
    usd: float
    usage: Usage = Usage()
    presumed: bool = False
    error: str = ""


class Tariff:
    """Knows what the calls of one model cost: as reported, by the price of its tokens, or the most that it can be.

    Attributes:
        free: Whether they cost nothing, by the user's own word.
    """

    def __init__(self, settings: ModelSettings, price: Price | None) -> None:
        """Keeps what is known.

        Args:
            settings: What a call may cost, and whether the price is the user's own word.
            price: Of its tokens; None where it is not known.
        """
        self._price = price
        self._call_usd = settings.call_usd
        self.free = settings.price is not None and price == FREE

    def most(self, request: ModelRequest) -> float:
        """Returns the most that one call can cost; 0 where neither the price nor ``call_usd`` says."""
        if self.free:
            return 0.0
        if self._call_usd is not None:
            return self._call_usd
        return 0.0 if self._price is None else self._price.most(upper_bound_tokens(request), request.max_tokens)

    def answered(self, request: ModelRequest, completion: Completion, reserved: float) -> Bill:
        """Works out what an answer cost.

        Args:
            request: What was asked.
            completion: The answer.
            reserved: Dollars set aside for it.
        """
        outcome = "ok" if completion.finish is Finish.STOP else completion.finish.value
        counted, reported = completion.counted, completion.cost_usd
        usage = Usage(expected_input(request), 0, typical_tokens(completion.text)) if counted is None else _sane(counted)
        if self.free:
            # Agents report what tokens would have cost, under a subscription too.
            return Bill(outcome, 0.0, usage)
        if reported is not None and math.isfinite(reported) and reported >= 0:
            return Bill(outcome, reported, usage)
        if counted is None or self._price is None:
            return Bill(outcome, reserved, usage, presumed=counted is None or reserved > 0)
        return Bill(outcome, self._price.cost(usage), usage)


def failed(error: CallFailed, reserved: float) -> Bill:
    """Makes the bill of a call that brought no answer; one that may have been charged counts as all that was reserved."""
    charged = error.failure.charged
    return Bill(error.failure.value, reserved if charged else 0.0, presumed=charged, error=str(error))


def cancelled(error: BaseException, reserved: float) -> Bill:
    """Makes the bill of a call that nobody saw the end of."""
    return Bill("cancelled", reserved, presumed=True, error=f"{type(error).__name__}: {error}")


def expected_input(request: ModelRequest) -> int:
    """Estimates the tokens that a request asks."""
    return sum(typical_tokens(message.text) for message in request.messages)


def _sane(usage: Usage) -> Usage:
    """Takes negative counts, which some servers send for what they do not count, as none."""
    return Usage(*(max(0, tokens) for tokens in usage))
