"""Keeps what models were asked and answered while the first program of a task was written: ``drafts.jsonl`` in its folder.

One JSON object a line, in the order in which things happened; a line is on disk before anything follows from it:

- ``call``: a call that is about to be sent, and the most that it can cost;
- ``end``: how that call ended, and what it did cost;
- ``reply``: what was asked, to the letter, and what was answered;
- ``result``: what came of the attempt. An attempt that has a reply and no result is taken up by the next command that would
  ask the same, so that nothing is paid for twice.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evolve.archive.records import CallBegun, CallEnded
from evolve.errors import ArchiveError, ConfigError
from evolve.llm.base import Finish
from evolve.mutation import Complaint
from evolve.program import Outcome, Reply

NAME = "drafts.jsonl"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt at a program came to.

    Attributes:
        number: Of all attempts in the journal, from 0.
        outcome: ``OK`` with an objective; ``EDIT_FAILED`` for a reply that holds no program.
        why: What was wrong; empty when nothing was.
        objective: None unless the outcome is ``OK``.
        cost_usd: Of the calls for it in this command; a reply that is taken up from the journal costs nothing again.
    """

    number: int
    outcome: Outcome
    why: str = ""
    objective: float | None = None
    cost_usd: float = 0.0


@dataclass(slots=True)
class _Past:
    """What a journal says.

    Attributes:
        calls: How many were begun, by attempt.
        reserved: Dollars of calls whose end is not known, by attempt and number.
        usd: What all calls cost; one whose end is not known counts as all that was reserved for it.
        open: Replies without a result, by the hash of what was asked.
        settled: How many attempts have a result.
        complaints: About attempts that failed, by the question that they belong to.
    """

    calls: Counter[int] = field(default_factory=Counter)
    reserved: dict[tuple[int, int], float] = field(default_factory=dict)
    usd: float = 0.0
    open: dict[str, Reply] = field(default_factory=dict)
    settled: int = 0
    complaints: dict[str, list[Complaint]] = field(default_factory=dict)

    def take(self, record: Mapping[str, Any]) -> None:  # Any: JSON values
        """Adds a record to what is known."""
        match record["what"]:
            case "call":
                self.usd += float(record["reserved_usd"])
                self.reserved[record["attempt"], record["number"]] = float(record["reserved_usd"])
                self.calls[record["attempt"]] += 1
            case "end":
                self.usd += float(record["usd"]) - self.reserved.pop((record["attempt"], record["number"]), 0.0)
            case "reply":
                prompt = json.dumps(record["asked"], ensure_ascii=False)
                text, finish = str(record["text"]), Finish(record["finish"]).value
                self.open[record["request"]] = Reply(text, prompt=prompt, finish=finish, request_sha256=record["request"])
            case "result":
                reply = self.open.pop(record["request"], Reply(""))
                self.settled += 1
                if record["outcome"] != Outcome.OK:
                    self.complaints.setdefault(record["question"], []).append(Complaint(str(record["why"]), reply.text))


class Journal:
    """The journal of a task's folder; a `evolve.llm.calling.Ledger` of its calls."""

    def __init__(self, folder: Path) -> None:
        """Reads what is there, and sees that more can be written.

        Raises:
            ConfigError: If it cannot be read or written.
        """
        self.path = folder / NAME
        try:
            with self.path.open("a+b") as file:
                file.seek(0)
                content = file.read()
                if content and not content.endswith(b"\n"):  # a write that was cut short
                    file.write(b"\n")
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written, and what models answer is kept there: {error.strerror}") from error
        self._past = _past(_records(content))

    @property
    def settled(self) -> int:
        """How many attempts have a result."""
        return self._past.settled

    @property
    def usd(self) -> float:
        """What all calls on record cost; one whose end is not known counts as all that was reserved for it."""
        return self._past.usd

    def answered(self, request_sha256: str) -> Reply | None:
        """Finds a reply to exactly this request of which nothing has come yet."""
        return self._past.open.get(request_sha256)

    def complaints(self, question: str) -> tuple[Complaint, ...]:
        """Returns what is on record against earlier attempts at a question."""
        return tuple(self._past.complaints.get(question, ()))

    def number(self, step: int, attempt: int) -> int:
        return self._past.calls[attempt]

    def began(self, call: CallBegun) -> None:
        self._write({"what": "call", **asdict(call)})

    def ended(self, call: CallEnded) -> None:
        self._write({"what": "end", **asdict(call)})

    def replied(self, attempt: int, model: str, reply: Reply) -> None:
        """Writes a reply down."""
        asked = json.loads(reply.prompt)
        answer = {"finish": reply.finish, "text": reply.text, "usd": reply.cost_usd}
        self._write(
            {"what": "reply", "attempt": attempt, "model": model, "request": reply.request_sha256, "asked": asked, **answer}
        )

    def came_to(self, attempt: Attempt, question: str, request_sha256: str) -> None:
        """Writes down what came of an attempt, and to which question it was one."""
        what = {"outcome": attempt.outcome.value, "objective": attempt.objective, "why": attempt.why}
        self._write({"what": "result", "attempt": attempt.number, "question": question, "request": request_sha256, **what})

    def _write(self, record: Mapping[str, Any]) -> None:  # Any: JSON values
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(record).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ArchiveError(f"{self.path} cannot be written, so no more is asked: {error.strerror}") from error
        self._past.take(record)


def _records(content: bytes) -> Iterator[Mapping[str, Any]]:  # Any: JSON values
    for line in content.splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # cut short by a crash, or edited
            continue
        if isinstance(record, dict):
            yield record


def _past(records: Iterator[Mapping[str, Any]]) -> _Past:
    past = _Past()
    for record in records:
        # A line that was edited by hand may mean nothing; the others still do.
        with contextlib.suppress(KeyError, TypeError, ValueError):
            past.take(record)
    return past
