"""The tables of an archive.

All rows are written once, except those of ``sessions``, which say how a run is doing and who is writing it. Rows are keyed
by run and step, so that they lie in the order in which a run is read back, and refer to texts by hash. Times are seconds
since 1970 (UTC), in columns that end in ``_at``; durations end in ``_s``.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem

metadata = MetaData()

# Sorted and compared by their code points, as in SQLite: servers go by the rules of some language unless told otherwise.
_WORDS = Text().with_variant(Text(collation="C"), "postgresql")


def _keyed(name: str, *items: SchemaItem) -> Table:
    """Declares a table that is stored in the order of its primary key, without a second index beside it."""
    return Table(name, metadata, *items, sqlite_with_rowid=False)


def _run() -> Column[int]:
    return Column("run", Integer, ForeignKey("runs.number"), primary_key=True, autoincrement=False)


def _step() -> Column[int]:
    return Column("step", Integer, primary_key=True, autoincrement=False)


def _attempt() -> Column[int]:
    return Column("attempt", SmallInteger, primary_key=True, autoincrement=False)


def _text(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, ForeignKey("texts.hash"), nullable=nullable)


def _calls(name: str, *constraints: SchemaItem) -> Table:
    """Declares a table of calls that are about to be sent."""
    return _keyed(
        name,
        _run(),
        _step(),
        _attempt(),
        Column("number", SmallInteger, primary_key=True, autoincrement=False),
        Column("model", _WORDS, nullable=False),
        Column("reserved_usd", Double, nullable=False),
        Column("called_at", Double, nullable=False),
        *constraints,
    )


def _call_ends(name: str) -> Table:
    """Declares a table of what came of calls for planned steps."""
    return _keyed(
        name,
        _run(),
        _step(),
        _attempt(),
        Column("number", SmallInteger, primary_key=True, autoincrement=False),
        Column("outcome", _WORDS, nullable=False),
        Column("tokens_in", Integer, nullable=False),
        Column("tokens_cached", Integer, nullable=False),
        Column("tokens_out", Integer, nullable=False),
        Column("tokens_reasoning", Integer, nullable=False),
        Column("usd", Double, nullable=False),
        Column("presumed", Boolean, nullable=False),
        Column("latency_s", Double, nullable=False),
        _text("error", nullable=True),
        Column("ended_at", Double, nullable=False),
        _of_step("plans"),
    )


def _of_step(table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["run", "step"], [f"{table}.run", f"{table}.step"])


runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", _WORDS, nullable=False, unique=True),
    Column("task", _WORDS, nullable=False),
    Column("task_origin", _WORDS, nullable=False),
    Column("task_folder", _WORDS, nullable=False),
    Column("evaluator_sha256", _WORDS, nullable=False),
    Column("direction", _WORDS, nullable=False),
    Column("metric", _WORDS, nullable=False),
    Column("seed", _WORDS, nullable=False),  # a whole number of any size
    Column("config", _WORDS, nullable=False),  # JSON
    Column("versions", _WORDS, nullable=False),  # JSON
    Column("commit_id", _WORDS, nullable=False),
    Column("command", _WORDS, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("rescores", Integer),  # number of the run whose programs it scores again
)

# What a run was told to start from; written with the run, so that it can begin, or begin again, without anybody's files.
starts = _keyed(
    "starts",
    _run(),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 0, in the order given
    Column("origin", _WORDS, nullable=False),
    Column("source_sha256", LargeBinary, nullable=False),
)

start_sources = _keyed(
    "start_sources",
    _run(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("path", _WORDS, primary_key=True),
    _text("text"),
    ForeignKeyConstraint(["run", "number"], ["starts.run", "starts.number"]),
)

sessions = _keyed(
    "sessions",
    _run(),
    Column("session", Integer, primary_key=True, autoincrement=False),
    Column("host", _WORDS, nullable=False),
    Column("place", _WORDS, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process", _WORDS, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("writing", Boolean, nullable=False),  # the run's writer lock: at most the latest session's is true
    Column("status", _WORDS, nullable=False),
    Column("asked_steps", Integer, nullable=False),
    Column("reason", _WORDS, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("budget_usd", Double),  # null: no limit
)

# A row id of its own, because long bodies would spread a tree that is sorted by hash over the whole file.
texts = Table(
    "texts",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    # At the end of a transaction it must be there: where several write at once, they insert in the order of the hashes.
    Column("dictionary", LargeBinary, ForeignKey("texts.hash", deferrable=True, initially="DEFERRED")),
    Column("compressed", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

plans = _keyed(
    "plans",
    _run(),
    _step(),
    Column("version", Integer, nullable=False),
    Column("island", SmallInteger, nullable=False),
    Column("parent", _WORDS, nullable=False),
    Column("inspirations", _WORDS, nullable=False),  # identifiers, separated by spaces
    Column("arm", _WORDS, nullable=False),
    Column("planned_at", Double, nullable=False),
    Column("failures", _WORDS),  # identifiers, separated by spaces
    Column("unavailable", _WORDS),  # JSON: a list of arms
    Column("usd_per_step", Double),
    Column("new_approach", Boolean),  # null: no
)

replies = _keyed(
    "replies",
    _run(),
    _step(),
    _attempt(),
    _text("text"),
    _text("prompt", nullable=True),
    Column("strategy", _WORDS),  # JSON
    Column("parents", _WORDS, nullable=False),  # identifiers, separated by spaces
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("cost_usd", Double, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("replied_at", Double, nullable=False),
    Column("finish", _WORDS),  # null: it ended of itself
    Column("request", LargeBinary),  # hash of exactly what was asked; null where no model was
    _of_step("plans"),
)
_ASKED = replies.c.request.is_not(None)
replies_by_request = Index("replies_by_request", replies.c.request, sqlite_where=_ASKED, postgresql_where=_ASKED)

# Two rows for one call: the first is there before anything is sent, so that money in flight at a kill is known of.
calls = _calls("calls", _of_step("plans"))

call_ends = _call_ends("call_ends")

edit_failures = _keyed("edit_failures", _run(), _step(), _attempt(), _text("why"), _of_step("plans"))

screens = _keyed(
    "screens",
    _run(),
    _step(),
    _attempt(),
    Column("version", Integer, nullable=False),
    Column("verdict", _WORDS, nullable=False),
    Column("nearest", _WORDS),
    Column("similarity", Double),
    _of_step("plans"),
)

programs = _keyed(
    "programs",
    _run(),
    _step(),
    Column("program_id", _WORDS, nullable=False),
    Column("parent", _WORDS),
    Column("donors", _WORDS, nullable=False),  # identifiers of further parents, separated by spaces
    Column("generation", Integer, nullable=False),
    Column("strategy", _WORDS),  # JSON
    Column("size", Integer, nullable=False),
    Column("source_sha256", LargeBinary, nullable=False),
    Column("fingerprint", _WORDS, nullable=False),
    # In this order it also serves the search for a prefix over all runs.
    UniqueConstraint("program_id", "run"),
)

sources = _keyed("sources", _run(), _step(), Column("path", _WORDS, primary_key=True), _text("text"), _of_step("programs"))

embeddings = Table("embeddings", metadata, _run(), _step(), Column("vector", LargeBinary, nullable=False), _of_step("programs"))

evaluations = _keyed(
    "evaluations",
    _run(),
    _step(),
    Column("outcome", _WORDS, nullable=False),
    Column("objective", Double),
    Column("metrics", _WORDS),  # JSON
    _text("feedback", nullable=True),
    Column("cpu_s", Double, nullable=False),
    Column("wall_s", Double, nullable=False),
    Column("isolation", _WORDS),
    Column("evaluator_sha256", _WORDS),  # null: the run's own
    Column("timing_dependent", Boolean, nullable=False),
    Column("reused_from", _WORDS),
    Column("evaluated_at", Double, nullable=False),
    # What most evaluations do not have: stage, instances, repeated values, verification (JSON).
    Column("details", _WORDS),
    Column("host", _WORDS),  # null: the machine of the run itself
    _of_step("programs"),
)

holdouts = _keyed(
    "holdouts",
    _run(),
    _step(),
    Column("outcome", _WORDS, nullable=False),
    Column("objective", Double),
    Column("metrics", _WORDS),  # JSON
    _text("feedback", nullable=True),
    Column("isolation", _WORDS),
    Column("evaluator_sha256", _WORDS),  # null: the run's own
    Column("evaluated_at", Double, nullable=False),
    _of_step("programs"),
)

# A finished run's best, measured once more by what nobody chose it for.
afresh = _keyed(
    "afresh",
    _run(),
    _step(),
    Column("outcome", _WORDS, nullable=False),
    Column("objective", Double),
    Column("details", _WORDS),  # JSON, as of evaluations: the values
    Column("evaluated_at", Double, nullable=False),
    _of_step("programs"),
)

additions = _keyed(
    "additions",
    _run(),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, nullable=False),
    Column("outcome", _WORDS, nullable=False),
    Column("program", _WORDS),
    Column("reward", Double, nullable=False),
    Column("improved", Boolean, nullable=False),
    Column("traits", _WORDS),  # JSON; null: the population asks for none
    Column("added_at", Double, nullable=False),
    UniqueConstraint("run", "step"),
)

notes = _keyed(
    "notes",
    _run(),
    Column("about", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("source", _WORDS, nullable=False),
    _text("text"),
    _text("prompt", nullable=True),
    _text("reply", nullable=True),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("error", _WORDS, nullable=False),
    Column("noted_at", Double, nullable=False),
)

# Embeddings that a model made, of any run of the archive: the key hashes the model and what it was given.
vectors = Table(
    "vectors",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

# As `calls` and `call_ends`, of models of embeddings: starting programs and the calibration have no plan that rows could refer to.
embedding_calls = _calls("embedding_calls")

embedding_call_ends = _keyed(
    "embedding_call_ends",
    _run(),
    _step(),
    _attempt(),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("outcome", _WORDS, nullable=False),
    Column("tokens_in", Integer, nullable=False),
    Column("usd", Double, nullable=False),
    Column("presumed", Boolean, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("error", _WORDS, nullable=False),
    Column("ended_at", Double, nullable=False),
)

# Children, and starting programs, that were compared by identity alone because nobody embedded them.
unembedded = _keyed(
    "unembedded",
    _run(),
    _step(),
    _attempt(),
    Column("why", _WORDS, nullable=False),
    Column("failed_at", Double, nullable=False),
)

# Limits that a run found by a model of embeddings after it had begun; others are part of its configuration.
calibrations = _keyed(
    "calibrations",
    _run(),
    Column("min_distance", Double),  # null: copies are not told from edits
    Column("copy", Double, nullable=False),
    Column("edits", _WORDS, nullable=False),  # JSON: a list of distances
    Column("calibrated_at", Double, nullable=False),
)

# As `calls` and `call_ends`, of the model that judges borderline children: what it costs is no step's.
judge_calls = _calls("judge_calls", _of_step("plans"))

judge_call_ends = _call_ends("judge_call_ends")

# What became of the question; the screen of the same attempt names the program that the child was compared with.
judgements = _keyed(
    "judgements",
    _run(),
    _step(),
    _attempt(),
    Column("found", _WORDS, nullable=False),
    Column("why", _WORDS, nullable=False),
    Column("source", _WORDS, nullable=False),
    _text("prompt", nullable=True),
    _text("reply", nullable=True),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("error", _WORDS, nullable=False),
    Column("judged_at", Double, nullable=False),
    _of_step("plans"),
)

# What people tell a live run; not the run's writer's, but anybody's.
advice = _keyed(
    "advice",
    _run(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("text", _WORDS, nullable=False),
    Column("given_at", Double, nullable=False),
)

#: In an order in which every row comes after the rows that it refers to.
RECORD_TABLES = (
    texts,
    plans,
    calls,
    call_ends,
    replies,
    edit_failures,
    screens,
    programs,
    sources,
    embeddings,
    evaluations,
    holdouts,
    afresh,
    additions,
    notes,
    vectors,
    embedding_calls,
    embedding_call_ends,
    unembedded,
    calibrations,
    judge_calls,
    judge_call_ends,
    judgements,
)
