"""Writes one run: records are buffered as they come and written in one transaction by `RunWriter.commit`."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from sqlalchemy import Connection, Dialect, Select, Table, bindparam, insert, select

from evolve.archive import rows
from evolve.archive.connect import Database
from evolve.archive.loading import advice_of_run, load_evaluations, load_programs, paid_steps, step_cost, step_of
from evolve.archive.records import Addition, CallBegun, CallEnded, FoundLimit, Judgement, Note, Plan, Screen
from evolve.archive.sessions import change_session
from evolve.archive.shared import SHARED, in_turn, insert_shared
from evolve.archive.tables import RECORD_TABLES, runs, sessions
from evolve.archive.texts import Packed, Packer, TextReader, pack, pack_vector
from evolve.archive.transactions import Recording
from evolve.errors import ArchiveError, RunNotFound
from evolve.program import Evaluation, Program, Reply

logger = logging.getLogger(__name__)

# Parents and inspirations come from the bounded live populations; 6 kB programs make this 6 MB.
_CACHED_PROGRAMS = 1024


class _Query(NamedTuple):
    """A query as the driver takes it, and the values of its parameters, None for those that are given each time."""

    text: str
    values: Mapping[str, Any]  # Any: what databases hold


class RunWriter:
    """The one writer of a run, from `Archive.writer`; leaving it gives the run's writer lock back.

    Each method takes down one record; none is durable before `commit`. A commit that fails keeps the records, so that it
    may be tried again; a record that repeats one of the archive (the same step and attempt) fails every time, because
    records are never replaced. A database server that was lost in mid-run ends the writer: every later commit fails. Nobody knows
    then whether the last one came through, nor whether a server that crashed has kept the ones before; whoever takes the run up
    reads what is there. All calls come from one thread.
    """

    def __init__(self, database: Database, texts: TextReader, clock: Callable[[], float], run: int, session: int) -> None:
        """Begins to write; `Archive.writer` has taken the lock.

        Args:
            database: The archive's.
            texts: Reads its texts.
            clock: Returns seconds since 1970.
            run: Which run.
            session: The session that holds its lock.
        """
        self.run = run
        self._database = database
        self._texts = texts
        self._clock = clock
        self._session = session
        self._connection = database.connection(Recording(run))
        self._lost = ""
        self._statements = _statements(self._connection.dialect)
        self._later_session = _compiled(self._connection, _later_session())
        self._step_cost = _compiled(self._connection, step_cost())
        self._advice = _compiled(self._connection, advice_of_run())
        self._rows: dict[str, list[rows.Values]] = {table.name: [] for table in RECORD_TABLES}
        self._unscored: dict[str, Program] = {}
        self._programs: OrderedDict[str, tuple[Program, Evaluation]] = OrderedDict()
        with database.read() as connection:
            self._evaluator: str = connection.execute(select(runs.c.evaluator_sha256).where(runs.c.number == run)).scalar_one()
            initial = load_programs(connection, texts, run, [0]).get(0)
            self._paid = paid_steps(connection, run)
        self._packer = Packer()
        for path, text in initial.files.items() if initial else ():
            self._packer.begin(text, f"source {path}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self.commit()
        finally:
            self.close()

    # Records

    def plan(self, plan: Plan) -> None:
        """Takes down what a step sets out to do."""
        self._add("plans", rows.plan_values(plan), planned_at=self._clock())

    def reply(self, step: int, attempt: int, reply: Reply) -> None:
        """Takes down what a mutator answered."""
        if reply.cost_usd:
            self._paid.add(step)
        prompt = self._text(self._packer.pack(reply.prompt, "prompt")) if reply.prompt else None
        text = self._text(self._packer.pack_like(reply.text, "prompt"))
        self._add("replies", rows.reply_values(step, attempt, reply, text, prompt), replied_at=self._clock())

    def call_begun(self, begun: CallBegun) -> None:
        """Writes down at once that a call of a language model is about to be sent, and what it may cost."""
        self._paid.add(begun.step)
        self._add("calls", rows.call_values(begun), called_at=self._clock())
        self.commit()

    def call_ended(self, ended: CallEnded) -> None:
        """Takes down what came of a call."""
        error = self._text(pack(ended.error)) if ended.error else None
        self._add("call_ends", rows.call_end_values(ended, error), ended_at=self._clock())

    def embedding_call_begun(self, begun: CallBegun) -> None:
        """Writes down at once that a model is about to be asked for embeddings, and what that may cost."""
        self._add("embedding_calls", rows.call_values(begun), called_at=self._clock())
        self.commit()

    def embedding_call_ended(self, ended: CallEnded) -> None:
        """Takes down what came of a call for embeddings."""
        self._add("embedding_call_ends", rows.embedding_call_end_values(ended), ended_at=self._clock())

    def vector(self, key: bytes, vector: np.ndarray) -> None:
        """Takes down what a model made of a text, for every run of the archive.

        Args:
            key: Hash of the model and the text; of two vectors with one key the first is kept.
            vector: ``(d,)``, stored as float16.
        """
        self._rows["vectors"].append({"key": key, "vector": pack_vector(vector)})

    def unembedded(self, step: int, attempt: int, why: str) -> None:
        """Takes down why a program has no embedding."""
        self._add("unembedded", {"step": step, "attempt": attempt, "why": why}, failed_at=self._clock())

    def limit(self, found: FoundLimit) -> None:
        """Takes down the limit that the run has found by its model of embeddings."""
        edits = json.dumps([float(distance) for distance in found.edits])
        self._add(
            "calibrations",
            {"min_distance": found.min_distance, "copy": float(found.copy), "edits": edits},
            calibrated_at=self._clock(),
        )

    def judge_call_begun(self, begun: CallBegun) -> None:
        """Writes down at once that a model is about to be asked for a judgement, and what that may cost."""
        self._add("judge_calls", rows.call_values(begun), called_at=self._clock())
        self.commit()

    def judge_call_ended(self, ended: CallEnded) -> None:
        """Takes down what came of a call for a judgement."""
        error = self._text(pack(ended.error)) if ended.error else None
        self._add("judge_call_ends", rows.call_end_values(ended, error), ended_at=self._clock())

    def judgement(self, judgement: Judgement) -> None:
        """Takes down what a model said of a borderline child."""
        prompt, reply = (self._text(pack(said)) if said else None for said in (judgement.prompt, judgement.reply))
        self._add("judgements", rows.judgement_values(judgement, prompt, reply), judged_at=self._clock())

    def edit_failed(self, step: int, attempt: int, why: str) -> None:
        """Takes down why an attempt came to no source."""
        self._add("edit_failures", {"step": step, "attempt": attempt, "why": self._text(pack(why))})

    def screen(self, screen: Screen) -> None:
        """Takes down what screening found."""
        self._add("screens", rows.screen_values(screen))

    def program(self, program: Program, fingerprint: str, embedding: np.ndarray | None = None) -> None:
        """Takes down the program of a step; the initial program belongs to step 0.

        Args:
            program: The program.
            fingerprint: Identity of its normalised syntax.
            embedding: ``(d,)``, stored as float16; None where none was made.
        """
        self._add("programs", rows.program_values(program, fingerprint))
        for path, text in program.files.items():
            key = self._text(self._packer.pack(text, f"source {path}"))
            self._add("sources", {"step": program.step, "path": path, "text": key})
        if embedding is not None:
            self._add("embeddings", {"step": program.step, "vector": pack_vector(embedding)})
        self._unscored[program.program_id] = program

    def evaluation(self, step: int, program_id: str, evaluation: Evaluation) -> None:
        """Takes down what scoring the program of a step found, or was copied from a known program.

        Raises:
            ValueError: If the program is another step's.
        """
        program = self._unscored.pop(program_id, None)
        if program is not None and program.step != step:
            raise ValueError(f"program {program_id} is step {program.step}'s; its evaluation was given for step {step}")
        feedback = self._text(pack(evaluation.feedback)) if evaluation.feedback else None
        values = rows.evaluation_values(step, evaluation, feedback, self._evaluator)
        self._add("evaluations", values, evaluated_at=self._clock())
        if program is not None:
            self._remember(program, evaluation)

    def holdout(self, step: int, evaluation: Evaluation) -> None:
        """Takes down what the program of a step scored on held-out data."""
        feedback = self._text(pack(evaluation.feedback)) if evaluation.feedback else None
        values = rows.holdout_values(step, evaluation, feedback, self._evaluator)
        self._add("holdouts", values, evaluated_at=self._clock())

    def afresh(self, step: int, evaluation: Evaluation) -> None:
        """Takes down what the program of a step came to when it was measured afresh."""
        self._add("afresh", rows.afresh_values(step, evaluation), evaluated_at=self._clock())

    def addition(self, addition: Addition) -> None:
        """Takes down the end of a step, after which nobody asks what it has cost."""
        self._paid.discard(addition.step)
        self._add("additions", rows.addition_values(addition), added_at=self._clock())

    def note(self, note: Note) -> None:
        """Takes down what is said of the run so far."""
        text = self._text(pack(note.text))
        prompt, reply = (self._text(pack(said)) if said else None for said in (note.prompt, note.reply))
        self._add("notes", rows.note_values(note, text, prompt, reply), noted_at=self._clock())

    def commit(self) -> None:
        """Writes all records taken down since the last commit, all or none.

        Raises:
            ArchiveError: If the archive cannot take them, or another process has taken over this run.
        """
        if not any(self._rows.values()):
            return
        if self._lost:
            raise ArchiveError(self._lost)
        with self._noticing_loss(), self._connection.begin():
            # The driver's own cursor: SQLAlchemy would add 20 microseconds to each of a step's fifteen statements.
            cursor = self._connection.connection.cursor()
            cursor.execute(self._later_session.text, {"run": self.run, "session": self._session})
            if cursor.fetchone() is not None:
                raise ArchiveError(f"run {self.run} was taken over by another process while this one was silent; this one must end")
            for table, statement in self._statements.items():
                waiting = self._rows[table.name]
                if waiting:
                    cursor.executemany(statement, in_turn(table, waiting, self._connection.dialect) if table in SHARED else waiting)
            cursor.close()
        for written in self._rows.values():
            written.clear()

    # The session

    def allow(self, budget_usd: float | None) -> None:
        """Says at once how many dollars the run may spend, earlier sessions included; None is no limit."""
        self._change(budget_usd=budget_usd)

    def status(self, status: str, *, asked_steps: int, reason: str = "", seconds: float) -> None:
        """Says at once how the run is doing.

        Args:
            status: ``"running"``, ``"stopped"``, ``"finished"`` or ``"failed"``.
            asked_steps: Steps asked for, those of earlier sessions included.
            reason: Why it stopped or failed.
            seconds: Wall-clock seconds of all sessions of the run.
        """
        self._change(status=status, asked_steps=asked_steps, reason=reason, seconds=seconds)

    def heartbeat(self, seconds: float) -> None:
        """Says at once that the writer lives; other machines take the lock over after a minute of silence.

        Args:
            seconds: Wall-clock seconds of all sessions of the run.
        """
        self._change(seconds=seconds)

    def close(self) -> None:
        """Gives the lock back, without writing what was not committed; closing twice does nothing."""
        if self._connection.closed:
            return
        try:
            self._change(writing=False)
        except ArchiveError as error:
            # Nothing is stuck: a lock whose process has ended counts for nothing.
            logger.warning("run %d: the writer lock stays until this process ends: %s", self.run, error)
        finally:
            self._connection.close()

    # Reading back

    def cost_usd(self, step: int) -> float:
        """Sums what a step has cost so far, as its addition will be read back."""
        if step not in self._paid:
            return 0.0
        [(usd,)] = self._fetch(self._step_cost, step=step)
        return float(usd)

    def advice(self) -> tuple[str, ...]:
        """Reads what people told the run so far, oldest first."""
        return tuple(str(text) for (text,) in self._fetch(self._advice))

    def program_of(self, program_id: str) -> tuple[Program, Evaluation]:
        """Returns a scored program of the run; recent ones are in memory.

        Raises:
            RunNotFound: If the run has no such program, or it was not scored.
        """
        known = self._programs.get(program_id)
        if known is not None:
            self._programs.move_to_end(program_id)
            return known
        with self._database.read() as connection:
            step = step_of(connection, self.run, program_id)
            found = [] if step is None else [step]
            program = load_programs(connection, self._texts, self.run, found).get(step or 0)
            evaluation = load_evaluations(connection, self._texts, self.run, found).get(step or 0)
        if program is None or evaluation is None:
            raise RunNotFound(f"run {self.run} has no scored program {program_id!r}")
        self._remember(program, evaluation)
        return program, evaluation

    def _fetch(self, query: _Query, **values: object) -> list[tuple[Any, ...]]:
        """Reads what is committed; as in `commit`, by the driver's own cursor."""
        with self._noticing_loss():
            cursor = self._connection.connection.cursor()
            try:
                cursor.execute(query.text, {**query.values, "run": self.run, **values})
                return list(cursor.fetchall())
            finally:
                cursor.close()

    def _remember(self, program: Program, evaluation: Evaluation) -> None:
        self._programs[program.program_id] = (program, evaluation)
        if len(self._programs) > _CACHED_PROGRAMS:
            self._programs.popitem(last=False)

    def _add(self, table: str, values: rows.Values, **more: object) -> None:
        self._rows[table].append(rows.storable({**values, **more, "run": self.run}))

    def _text(self, packed: Packed) -> bytes:
        self._rows["texts"].append(packed._asdict())
        return packed.hash

    def _change(self, **values: object) -> None:
        with self._noticing_loss(), self._connection.begin():
            change_session(self._connection, self.run, self._session, heartbeat_at=self._clock(), **rows.storable(values))

    @contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        try:
            with self._database.explained(self._connection):
                yield
        except ArchiveError as error:
            if self._connection.invalidated:
                self._lost = str(error)
            raise


def _statements(dialect: Dialect) -> dict[Table, str]:
    """Compiles the insert of every record table once: compiling costs more than inserting."""
    return {
        table: insert_shared(table, dialect) if table in SHARED else str(insert(table).compile(dialect=dialect))
        for table in RECORD_TABLES
    }


def _later_session() -> Select[Any]:
    """Selects whether another process took over a run."""
    return select(sessions.c.session).where(sessions.c.run == bindparam("run"), sessions.c.session > bindparam("session"))


def _compiled(connection: Connection, query: Select[Any]) -> _Query:
    compiled = query.compile(dialect=connection.dialect)
    return _Query(str(compiled), compiled.params)
