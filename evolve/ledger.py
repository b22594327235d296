"""Writes every call of a language model into a run's archive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from evolve.archive.records import CallBegun, CallEnded, PendingStep
from evolve.archive.store import RunWriter


class RunLedger:
    """A `evolve.llm.calling.Ledger` over a run's writer: calls are on disk before they are sent."""

    def __init__(self, writer: RunWriter, pending: Iterable[PendingStep] = ()) -> None:
        """Starts to count.

        Args:
            writer: The run's.
            pending: Open steps: calls that an earlier session began for them keep their numbers.
        """
        self._writer = writer
        self._numbers: defaultdict[tuple[int, int], int] = defaultdict(int)
        for step in pending:
            self._numbers.update({(step.plan.step, attempt): count for attempt, count in step.calls.items()})

    def began(self, step: int, attempt: int, model: str, reserved_usd: float) -> int:
        """Writes down a call that is about to be sent; returns its number among the attempt's calls."""
        number = self._numbers[step, attempt]
        self._numbers[step, attempt] += 1
        self._writer.call_begun(CallBegun(step, attempt, number, model, reserved_usd))
        return number

    def ended(self, ended: CallEnded) -> None:
        """Takes down what came of a call."""
        self._writer.call_ended(ended)
        self._writer.commit()
