"""Makes notes on a run at intervals, on the side: the loop goes on while a model writes one.

A note is for plans of the archive versions from its own on, so the note that a prompt held follows from what is recorded.
"""

from __future__ import annotations

import asyncio
import bisect
import dataclasses
import logging
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from evolve.archive.records import NOTE_ATTEMPT, Addition, Note
from evolve.errors import ModelError
from evolve.insight import InsightConfig, Tally, counted
from evolve.llm.base import Finish
from evolve.llm.calling import Caller
from evolve.llm.stopping import Stopping
from evolve.mutation import Scored
from evolve.mutators.asking import Asking, within_context
from evolve.program import Reply, Task
from evolve.prompts.fencing import one_line
from evolve.rng import generator
from evolve.search import Finished

if TYPE_CHECKING:
    from evolve.prompts.render import Prompt, Prompts  # they bring jinja2

logger = logging.getLogger(__name__)

#: Notes that are kept of an answer, and characters of each.
_MOST = 5
_LINE_CHARS = 220
#: Failed children among the changes that a model is shown.
_FAILURES = 3
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(.*\S)")


class Journal(Protocol):
    """Where notes are written down (`evolve.archive.store.RunWriter`)."""

    def note(self, note: Note) -> None:
        """Takes down a note."""
        ...

    def commit(self) -> None:
        """Writes what was taken down."""
        ...


class Author(Protocol):
    """Writes notes."""

    async def write(self, tally: Tally, statistics: str, step: int) -> Note:
        """Writes a note; its versions are not known yet.

        Args:
            tally: The run so far; it may have gone on when the answer is there.
            statistics: What was counted.
            step: The step whose addition made the note due.

        Raises:
            ModelError: If there is none.
        """
        ...

    def stop(self) -> None:
        """Begins no further call; one that was sent is awaited."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...


class NoteTaker:
    """Counts finished steps and sees to it that there is a note every so many of them.

    One note is written at a time: while a model takes longer than the interval, none is asked for. Where it does not answer, the
    note is what was counted.
    """

    def __init__(
        self,
        config: InsightConfig,
        look_up: Callable[[str], Scored],
        journal: Journal | None,
        *,
        steps: int,
        known: Sequence[Note] = (),
        author: Author | None = None,
    ) -> None:
        """Starts with the notes that there are.

        Args:
            config: When notes are made.
            look_up: Finds a program of the run with its evaluation.
            journal: Takes notes down; None makes none, and gives those that are known.
            steps: Of the run: after the last one no prompt draws from a note, and no model is asked for one.
            known: Notes of earlier sessions, in their order.
            author: Writes notes; None counts only.
        """
        self._every = config.every if journal is not None else 0
        self._look_up = look_up
        self._journal = journal
        self._steps = steps
        self._notes = list(known)
        self._author = author
        self._tally = Tally()
        self._version = 0
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    def given(cls, notes: Sequence[Note] = ()) -> NoteTaker:
        """Returns one that makes no notes, and gives those that are recorded."""

        def look_up(program_id: str) -> Scored:
            raise AssertionError(f"program {program_id} is looked up for no note")

        return cls(InsightConfig(every=0), look_up, None, steps=0, known=notes)

    def text_at(self, version: int) -> str:
        """Returns the note that plans of an archive's version have; empty where there is none yet."""
        # Versions never fall from one note to the next: each counts from the moment on at which it was there.
        index = bisect.bisect_right(self._notes, version, key=lambda note: note.version)
        return self._notes[index - 1].text if index else ""

    def folded(self, finished: Finished, addition: Addition) -> None:
        """Takes note of a step that an earlier session finished."""
        self._version = addition.version
        if self._every:
            self._tally.settle(finished, addition)

    def restored(self) -> None:
        """Makes the note that an earlier session owed: its model had not answered when it ended."""
        due = self._version // self._every * self._every if self._every else 0
        latest = self._notes[-1] if self._notes else None
        # One that came after what is due was being written when it became due, and then no other is made.
        if due and (latest is None or (latest.about < due and latest.version <= due)):
            # Plans of this version may have asked already, without it.
            self._keep(Note(self._version, self._version + 1, self._statistics()))

    def settled(self, finished: Finished, addition: Addition) -> None:
        """Takes note of a finished step, and makes or orders the note that it makes due; called before plans of this version."""
        self.folded(finished, addition)
        about = addition.version
        if not self._every or not about or about % self._every:
            return
        if self._author is None or about >= self._steps:
            if self._writing is None or self._writing.done():
                self._keep(Note(about, about, self._statistics()))
        elif self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(self._author, about, finished.step), name=f"note {about}")

    async def finish(self) -> None:
        """Waits for a note that is being written."""
        if self._writing is not None:
            await self._writing

    def stop(self) -> None:
        """Asks for no further note; a call that was sent is awaited."""
        if self._author is not None:
            self._author.stop()

    async def close(self) -> None:
        """Ends everything at once."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        if self._author is not None:
            await self._author.close()

    async def _write(self, author: Author, about: int, step: int) -> None:
        statistics = self._statistics()
        try:
            note = await author.write(self._tally, statistics, step)
        except Stopping:
            return  # a later session makes up for it
        except ModelError as error:
            logger.warning("the note at version %d is what was counted: %s", about, error)
            note = Note(0, 0, statistics, error=str(error))
        # From the next version on: plans of this one may have asked already, without it.
        self._keep(dataclasses.replace(note, about=about, version=self._version + 1))
        if self._journal is not None:
            self._journal.commit()

    def _statistics(self) -> str:
        return counted(self._tally, self._look_up)

    def _keep(self, note: Note) -> None:
        if self._journal is not None:
            self._journal.note(note)
        self._notes.append(note)


class ModelAuthor:
    """Has a language model write notes, from what was counted, the best program and changes with what came of them."""

    def __init__(
        self, task: Task, seed: int, *, caller: Caller, prompts: Prompts, asking: Asking, look_up: Callable[[str], Scored]
    ) -> None:
        """Puts the parts together.

        Args:
            task: What is being solved.
            seed: The run's seed.
            caller: Brings the answers.
            prompts: Renders what is asked.
            asking: How.
            look_up: Finds a program of the run with its evaluation.
        """
        self._task = task
        self._seed = seed
        self._caller = caller
        self._prompts = prompts
        self._asking = asking
        self._look_up = look_up

    async def write(self, tally: Tally, statistics: str, step: int) -> Note:
        best = None if tally.best is None else self._look_up(tally.best)
        pairs = [(gain.parent, gain.child) for gain in tally.gains] + list(tally.failures)[-_FAILURES:]
        changes = [(self._look_up(parent), self._look_up(child)) for parent, child in pairs]
        seed = int(generator(self._seed, step, "note").integers(2**31))

        def prompt(tokens: int) -> Prompt:
            try:
                return self._prompts.note(self._task, statistics, best, changes, budget_tokens=tokens)
            except ValueError as error:
                raise ModelError(f"the prompt for a note does not fit: {error}") from error

        async def ask(prompt: Prompt) -> Reply:
            asked = self._asking.request(prompt.messages, seed, files={} if best is None else best.program.files)
            return self._asking.reply(await self._caller.call(asked, step, NOTE_ATTEMPT), asked)

        reply = await within_context(prompt, ask, self._asking.prompt_tokens)
        lines = read(reply.text) if Finish(reply.finish) in (Finish.STOP, Finish.LENGTH) else []
        return Note(
            about=0,
            version=0,
            text="\n".join(f"- {line}" for line in lines) or statistics,
            source=self._caller.name,
            prompt=reply.prompt,
            reply=reply.text,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            latency_s=reply.latency_s,
            error="" if lines else f"the answer held no notes ({reply.finish}): what was counted stands for it",
        )

    def stop(self) -> None:
        self._caller.stop()

    async def close(self) -> None:
        await self._caller.close()


def read(answer: str) -> list[str]:
    """Reads the notes of an answer: the items of its list, or its lines where it has none; at most five, each on one line."""
    items = [found[1] for line in answer.splitlines() if (found := _ITEM.match(line))]
    lines = items or [line.strip() for line in answer.splitlines() if line.strip()]
    return [one_line(line, _LINE_CHARS) for line in lines[:_MOST]]
