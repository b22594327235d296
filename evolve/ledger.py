"""Writes every call of a language model into a run's archive."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from evolve.archive.records import CallBegun, CallEnded, PendingStep
from evolve.archive.store import RunWriter
from evolve.llm.base import Finish

_ANSWERS = frozenset(("ok", *(finish.value for finish in Finish)))


class RunLedger:
    """A `evolve.llm.calling.Ledger` over a run's writer: calls are on disk before they are sent."""

    def __init__(self, writer: RunWriter, pending: Iterable[PendingStep] = ()) -> None:
        """Starts to count.

        Args:
            writer: The run's.
            pending: Open steps: calls that an earlier session began for them keep their numbers.
        """
        self._writer = writer
        self._counts: defaultdict[tuple[int, int], int] = defaultdict(int)
        for step in pending:
            self._counts.update({(step.plan.step, attempt): count for attempt, count in step.calls.items()})

    def number(self, step: int, attempt: int) -> int:
        return self._counts[step, attempt]

    def began(self, call: CallBegun) -> None:
        self._writer.call_begun(call)
        self._counts[call.step, call.attempt] = call.number + 1

    def ended(self, call: CallEnded) -> None:
        self._writer.call_ended(call)
        # With an answer comes its reply, at once and in one transaction: a kill between the two would have it paid for twice.
        if call.outcome not in _ANSWERS:
            self._writer.commit()


class EmbeddingLedger:
    """A `evolve.llm.calling.Ledger` over a run's writer, of calls that embed programs: they are no step's cost."""

    def __init__(self, writer: RunWriter, begun: Mapping[tuple[int, int], int]) -> None:
        """Starts to count.

        Args:
            writer: The run's.
            begun: How many calls earlier sessions began, by step and attempt.
        """
        self._writer = writer
        self._counts = Counter(begun)

    def number(self, step: int, attempt: int) -> int:
        return self._counts[step, attempt]

    def began(self, call: CallBegun) -> None:
        self._writer.embedding_call_begun(call)
        self._counts[call.step, call.attempt] = call.number + 1

    def ended(self, call: CallEnded) -> None:
        self._writer.embedding_call_ended(call)
        # With an answer come its vectors, at once and in one transaction.
        if call.outcome not in _ANSWERS:
            self._writer.commit()
