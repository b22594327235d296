"""Writes every call of a language model into a run's archive."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

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


class SideLedger:
    """A `evolve.llm.calling.Ledger` of calls that have tables of their own, since they are no step's cost."""

    def __init__(
        self,
        begin: Callable[[CallBegun], None],
        end: Callable[[CallEnded], None],
        commit: Callable[[], None],
        begun: Mapping[tuple[int, int], int],
    ) -> None:
        """Starts to count.

        Args:
            begin: Writes down at once that a call is about to be sent.
            end: Takes down what came of one.
            commit: Writes what was taken down.
            begun: How many calls earlier sessions began, by step and attempt.
        """
        self._begin = begin
        self._end = end
        self._commit = commit
        self._counts = Counter(begun)

    @classmethod
    def of_embeddings(cls, writer: RunWriter, begun: Mapping[tuple[int, int], int]) -> SideLedger:
        """Makes the ledger of calls that embed programs of a run."""
        return cls(writer.embedding_call_begun, writer.embedding_call_ended, writer.commit, begun)

    @classmethod
    def of_judgements(cls, writer: RunWriter, begun: Mapping[tuple[int, int], int]) -> SideLedger:
        """Makes the ledger of calls that judge children of a run."""
        return cls(writer.judge_call_begun, writer.judge_call_ended, writer.commit, begun)

    def number(self, step: int, attempt: int) -> int:
        return self._counts[step, attempt]

    def began(self, call: CallBegun) -> None:
        self._begin(call)
        self._counts[call.step, call.attempt] = call.number + 1

    def ended(self, call: CallEnded) -> None:
        self._end(call)
        # With an answer comes what is made of it, at once and in one transaction.
        if call.outcome not in _ANSWERS:
            self._commit()
