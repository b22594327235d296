"""The archive: the durable record of runs, in an SQLite file or a database of a PostgreSQL server.

A file is kept in write-ahead mode. What was committed survives the death of any process of ours at any moment; with
``durability="normal"`` a power cut or a crash of the operating system may take back the last commits (never a part of one,
and never the file), with ``"full"`` it may not, and every commit waits for the disk. A server waits for its disk unless it was told
not to, with ``"full"`` even then. Several runs may share an archive; each has one writer at a time.

This is the only module that reads the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from sqlalchemy import Connection, Table, func, insert, select

from evolve.archive import finding, rows
from evolve.archive.billing import begun
from evolve.archive.connect import Database, locate, open_database
from evolve.archive.embedded import load_limit, load_unembedded, load_vectors
from evolve.archive.judged import load_judgements
from evolve.archive.loading import (
    attempt_costs,
    find_reply,
    load_embeddings,
    load_evaluations,
    load_notes,
    load_pending,
    load_programs,
    load_replies,
    load_screens,
    load_settled,
    spent_usd,
    step_of,
)
from evolve.archive.locks import this_process
from evolve.archive.migrations import MIGRATIONS, bring_up_to_date, refuse_newer, schema_version
from evolve.archive.records import FoundLimit, Judgement, NewRun, Note, PendingStep, RunRecord, Screen, Session, Settled, Start
from evolve.archive.sessions import begin_session, change_session, latest_session
from evolve.archive.starts import ScoredStart, load_scored_starts, load_starts, write_starts
from evolve.archive.tables import advice, afresh, embedding_calls, holdouts, judge_calls, programs, runs
from evolve.archive.texts import TextReader
from evolve.archive.transactions import Altering, Durability, Recording
from evolve.archive.writer import RunWriter
from evolve.errors import ArchiveError, EmptyArchive, RunNotFound
from evolve.program import Evaluation, Files, Program, Reply

# Databases limit the parameters of one statement (SQLite before 3.32: 999).
_STEPS_AT_ONCE = 500

__all__ = ["Archive", "RunWriter"]


class Archive:
    """An open archive; a context manager that closes it."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.name = database.place.name
        self._database = database
        self._clock = clock
        self.texts = TextReader()

    @property
    def file(self) -> Path | None:
        """Its file; None when a database server keeps it."""
        return self._database.place.path

    @classmethod
    def open(
        cls,
        where: str | Path,
        *,
        create: bool = False,
        durability: Durability = "normal",
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> Archive:
        """Opens an archive and brings its tables up to date.

        Args:
            where: A file, or an SQLAlchemy URL (``postgresql+psycopg://USER@HOST/NAME``).
            create: Whether to make a missing file, and the tables of an empty file or database.
            durability: ``"normal"``, or ``"full"`` to survive power cuts, whatever a server was told.
            timeout_s: How long to wait for another process's transaction.
            clock: Returns seconds since 1970.

        Raises:
            ArchiveError: If it is missing, locked, read-only, no archive, or from a newer version.
            ValueError: If ``durability`` is neither.
        """
        if durability not in ("normal", "full"):
            raise ValueError(f"durability must be 'normal' or 'full', got {durability!r}")
        archive = cls(open_database(locate(where), create=create, durability=durability, timeout_s=timeout_s), clock)
        try:
            archive._prepare(create)
        except ArchiveError:
            archive.close()
            raise
        return archive

    def _prepare(self, create: bool) -> None:
        with self.read() as connection:
            version = schema_version(connection, self.name)
        refuse_newer(version, self.name)
        if version == len(MIGRATIONS):
            return
        if version == 0 and not create:
            raise EmptyArchive(f"archive {self.name} is empty; `evolve run TASK --archive {self.name}` fills it")
        try:
            with self._database.write(Altering()) as connection:
                bring_up_to_date(connection, self.name, self._clock())
        except ArchiveError as error:
            raise ArchiveError(f"schema version {version} must be brought to {len(MIGRATIONS)} first, but: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections; closing twice does nothing."""
        self._database.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Lends a connection for reading; all that is read through it is one state of the archive.

        Raises:
            ArchiveError: If the database refuses.
        """
        with self._database.read() as connection:
            yield connection

    # Runs

    def create_run(self, new: NewRun, starts: Sequence[Start] = ()) -> int:
        """Writes down a new run and returns its number.

        Args:
            new: What is known of it.
            starts: What it starts from; none is its task's initial program.

        Raises:
            ArchiveError: If its name is taken, or could be mistaken for a number.
        """
        if new.name.isdigit():
            raise ArchiveError(f"a run cannot be called {new.name!r}: runs are found by number too; give it a letter")
        with self._database.write() as connection:
            taken = set(connection.execute(select(runs.c.name)).scalars())
            number = (connection.execute(select(func.max(runs.c.number))).scalar() or 0) + 1
            if new.name in taken:
                raise ArchiveError(
                    f"archive {self.name} has a run {new.name!r} already; choose another name, or `evolve resume {new.name}`"
                )
            name = new.name or _free_name(f"{new.task}-{number}", taken)
            row = rows.storable({**rows.run_values(new), "number": number, "name": name, "created_at": self._clock()})
            connection.execute(insert(runs), [row])
            write_starts(connection, number, starts)
        return number

    def starts(self, run: int) -> list[Start]:
        """Reads what a run was told to start from; nothing for one that starts from its task's initial program."""
        with self.read() as connection:
            return load_starts(connection, self.texts, run)

    def scored_starts(self, run: int) -> Mapping[str, ScoredStart]:
        """Reads which starting programs of a run were scored before it stopped, by the hash of their source.

        Returns:
            Nothing for a run that has made its first addition.
        """
        with self.read() as connection:
            return load_scored_starts(connection, self.texts, run)

    def rescorings(self, run: int) -> list[int]:
        """Returns the numbers of the runs that score a run's programs again, in order."""
        with self.read() as connection:
            return list(connection.execute(select(runs.c.number).where(runs.c.rescores == run).order_by(runs.c.number)).scalars())

    def run_numbers(self) -> list[int]:
        """Returns the numbers of all runs, in order."""
        with self.read() as connection:
            return list(connection.execute(select(runs.c.number).order_by(runs.c.number)).scalars())

    def run_record(self, run: int) -> RunRecord:
        """Reads what is known of a run since its start.

        Raises:
            RunNotFound: If there is no such run.
        """
        with self.read() as connection:
            row = connection.execute(select(runs).where(runs.c.number == run)).one_or_none()
            if row is None:
                raise RunNotFound(f"archive {self.name} has no run {run}; `evolve runs` lists them")
            initial = load_programs(connection, self.texts, run, [0]).get(0)
        return rows.run_of(row, initial)

    def session(self, run: int) -> Session | None:
        """Reads how a run is doing; None when it was never driven."""
        with self.read() as connection:
            return latest_session(connection, run, self._clock())

    def writer(self, run: int) -> RunWriter:
        """Takes a run's writer lock, from a dead holder if need be; leaving or closing the writer gives it back.

        Raises:
            ArchiveError: If a living process holds the lock; the message says which, since when and what to do.
            RunNotFound: If there is no such run.
        """
        self.run_record(run)
        with self._database.write(Recording(run)) as connection:
            session = begin_session(connection, run, this_process(), self._clock())
        try:
            return RunWriter(self._database, self.texts, self._clock, run, session)
        except BaseException:
            # Nobody will write: the lock must not stay with this process, which lives.
            with suppress(ArchiveError), self._database.write(Recording(run)) as connection:
                change_session(connection, run, session, writing=False)
            raise

    # Finding

    def find_run(self, text: str | None) -> int:
        """Finds a run by number, exact name or unique beginning of a name; None is the latest.

        Raises:
            RunNotFound: If there is none, or the text begins several names; the message lists them.
        """
        with self.read() as connection:
            return finding.find_run(connection, self.name, text)

    def find_program(self, run: int | None, text: str) -> tuple[int, str]:
        """Finds a program by the unique beginning of its identifier, in one run or, with None, in all.

        Returns:
            The run's number (the latest that has it) and the identifier.

        Raises:
            RunNotFound: If there is none, or the text begins several identifiers; the message lists them.
        """
        with self.read() as connection:
            return finding.find_program(connection, run, text)

    # Reading a run back

    def program(self, run: int, program_id: str) -> tuple[Program, Evaluation | None]:
        """Reads a program, with its evaluation once there is one.

        Raises:
            RunNotFound: If the run has no such program.
        """
        with self.read() as connection:
            step = step_of(connection, run, program_id)
            if step is None:
                raise RunNotFound(f"run {run} has no program {program_id!r}; `evolve export {run}` lists them")
            program = load_programs(connection, self.texts, run, [step])[step]
            return program, load_evaluations(connection, self.texts, run, [step]).get(step)

    def sources(self, run: int, steps: Sequence[int]) -> dict[int, Files]:
        """Reads the sources of the programs that some steps of a run made; steps without one are left out."""
        with self.read() as connection:
            found: dict[int, Files] = {}
            for start in range(0, len(steps), _STEPS_AT_ONCE):
                chunk = load_programs(connection, self.texts, run, steps[start : start + _STEPS_AT_ONCE])
                found.update({step: program.files for step, program in chunk.items()})
            return found

    def held_out(self, run: int) -> set[str]:
        """Returns the identifiers of the programs of a run that were scored on held-out data."""
        return self._programs_in(holdouts, run)

    def measured_afresh(self, run: int) -> set[str]:
        """Returns the identifiers of the programs of a run that were measured afresh when it was finished."""
        return self._programs_in(afresh, run)

    def _programs_in(self, table: Table, run: int) -> set[str]:
        query = (
            select(programs.c.program_id)
            .join(table, (table.c.run == programs.c.run) & (table.c.step == programs.c.step))
            .where(programs.c.run == run)
        )
        with self.read() as connection:
            return set(connection.execute(query).scalars())

    def history(self, run: int) -> tuple[list[Settled], list[PendingStep]]:
        """Reads what a run's state is folded from.

        Returns:
            The finished steps in the order of their versions, and the planned, unfinished ones in step order.
        """
        with self.read() as connection:
            return load_settled(connection, run), load_pending(connection, self.texts, run)

    def replies(self, run: int) -> dict[tuple[int, int], Reply]:
        """Reads every reply of a run, by step and attempt."""
        with self.read() as connection:
            return load_replies(connection, self.texts, run)

    def answered(self, request_sha256: str) -> Reply | None:
        """Finds what a model answered to exactly this request, in any run of the archive; None when there is no answer."""
        with self.read() as connection:
            return find_reply(connection, self.texts, request_sha256)

    def spent_usd(self, run: int) -> float:
        """Sums the dollars that a run has spent; a call that a kill cut off counts with the most that it could cost."""
        with self.read() as connection:
            return spent_usd(connection, run)

    def attempt_costs(self, run: int) -> dict[tuple[int, int], float]:
        """Sums what each attempt of a run has cost, by step and attempt; those that cost nothing are left out."""
        with self.read() as connection:
            return attempt_costs(connection, run)

    def notes(self, run: int) -> list[Note]:
        """Reads the notes on a run, in the order in which they were made."""
        with self.read() as connection:
            return load_notes(connection, self.texts, run)

    # What a model embedded

    def vectors(self, keys: Collection[bytes]) -> dict[bytes, np.ndarray]:
        """Reads what models made of texts, by key, as ``(d,)`` float32 arrays; what there is not is left out."""
        with self.read() as connection:
            return load_vectors(connection, keys)

    def unembedded(self, run: int) -> dict[tuple[int, int], str]:
        """Reads why programs of a run have no embedding, by step and attempt."""
        with self.read() as connection:
            return load_unembedded(connection, run)

    def limit(self, run: int) -> FoundLimit | None:
        """Reads the limit that a run has found by a model of embeddings; None where it has found none so, or not yet."""
        with self.read() as connection:
            return load_limit(connection, run)

    def embedding_calls(self, run: int) -> dict[tuple[int, int], int]:
        """Counts the calls that were begun to embed programs of a run, by step and attempt."""
        with self.read() as connection:
            return begun(connection, embedding_calls, run)

    # What a model judged

    def judgements(self, run: int) -> dict[tuple[int, int], Judgement]:
        """Reads what a model said of a run's borderline children, by step and attempt."""
        with self.read() as connection:
            return load_judgements(connection, self.texts, run)

    def judge_calls(self, run: int) -> dict[tuple[int, int], int]:
        """Counts the calls that were begun to judge children of a run, by step and attempt."""
        with self.read() as connection:
            return begun(connection, judge_calls, run)

    # Advice

    def advise(self, run: int, text: str) -> None:
        """Leaves advice for a run's next prompts, whoever is writing the run.

        Raises:
            RunNotFound: If there is no such run.
        """
        self.run_record(run)
        with self._database.write() as connection:
            last = connection.execute(select(func.max(advice.c.number)).where(advice.c.run == run)).scalar()
            row = {"run": run, "number": 1 if last is None else last + 1, "text": text, "given_at": self._clock()}
            connection.execute(insert(advice), [rows.storable(row)])

    def screens(self, run: int) -> list[Screen]:
        """Reads every screen of a run, in the order of steps and attempts."""
        with self.read() as connection:
            return load_screens(connection, run)

    def embeddings(self, run: int, *, latest: int | None = None) -> dict[str, np.ndarray]:
        """Reads the embeddings of a run's programs, as ``(d,)`` float32 arrays by identifier.

        Args:
            run: Which run.
            latest: How many, the last ones; None reads all.
        """
        with self.read() as connection:
            return load_embeddings(connection, run, latest)


def _free_name(wanted: str, taken: set[str]) -> str:
    """Returns the wanted name, numbered further where a user gave it to another run."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}-{count}"
    return name
