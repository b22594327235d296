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
        Column("model", Text, nullable=False),
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
        Column("outcome", Text, nullable=False),
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
    Column("name", Text, nullable=False, unique=True),
    Column("task", Text, nullable=False),
    Column("task_origin", Text, nullable=False),
    Column("task_folder", Text, nullable=False),
    Column("evaluator_sha256", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("seed", Text, nullable=False),  # a whole number of any size
    Column("config", Text, nullable=False),  # JSON
    Column("versions", Text, nullable=False),  # JSON
    Column("commit_id", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("rescores", Integer),  # number of the run whose programs it scores again
)

# What a run was told to start from; written with the run, so that it can begin, or begin again, without anybody's files.
starts = _keyed(
    "starts",
    _run(),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 0, in the order given
    Column("origin", Text, nullable=False),
    Column("source_sha256", LargeBinary, nullable=False),
)

start_sources = _keyed(
    "start_sources",
    _run(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("path", Text, primary_key=True),
    _text("text"),
    ForeignKeyConstraint(["run", "number"], ["starts.run", "starts.number"]),
)

sessions = _keyed(
    "sessions",
    _run(),
    Column("session", Integer, primary_key=True, autoincrement=False),
    Column("host", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process", Text, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("writing", Boolean, nullable=False),  # the run's writer lock: at most the latest session's is true
    Column("status", Text, nullable=False),
    Column("asked_steps", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("budget_usd", Double),  # null: no limit
)

# A row id of its own, because long bodies would spread a tree that is sorted by hash over the whole file.
texts = Table(
    "texts",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("dictionary", LargeBinary, ForeignKey("texts.hash")),
    Column("compressed", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

plans = _keyed(
    "plans",
    _run(),
    _step(),
    Column("version", Integer, nullable=False),
    Column("island", SmallInteger, nullable=False),
    Column("parent", Text, nullable=False),
    Column("inspirations", Text, nullable=False),  # identifiers, separated by spaces
    Column("arm", Text, nullable=False),
    Column("planned_at", Double, nullable=False),
    Column("failures", Text),  # identifiers, separated by spaces
    Column("unavailable", Text),  # JSON: a list of arms
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
    Column("strategy", Text),  # JSON
    Column("parents", Text, nullable=False),  # identifiers, separated by spaces
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("cost_usd", Double, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("replied_at", Double, nullable=False),
    Column("finish", Text),  # null: it ended of itself
    Column("request", LargeBinary),  # hash of exactly what was asked; null where no model was
    _of_step("plans"),
)
replies_by_request = Index("replies_by_request", replies.c.request, sqlite_where=replies.c.request.is_not(None))

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
    Column("verdict", Text, nullable=False),
    Column("nearest", Text),
    Column("similarity", Double),
    _of_step("plans"),
)

programs = _keyed(
    "programs",
    _run(),
    _step(),
    Column("program_id", Text, nullable=False),
    Column("parent", Text),
    Column("donors", Text, nullable=False),  # identifiers of further parents, separated by spaces
    Column("generation", Integer, nullable=False),
    Column("strategy", Text),  # JSON
    Column("size", Integer, nullable=False),
    Column("source_sha256", LargeBinary, nullable=False),
    Column("fingerprint", Text, nullable=False),
    # In this order it also serves the search for a prefix over all runs.
    UniqueConstraint("program_id", "run"),
)

sources = _keyed("sources", _run(), _step(), Column("path", Text, primary_key=True), _text("text"), _of_step("programs"))

embeddings = Table("embeddings", metadata, _run(), _step(), Column("vector", LargeBinary, nullable=False), _of_step("programs"))

evaluations = _keyed(
    "evaluations",
    _run(),
    _step(),
    Column("outcome", Text, nullable=False),
    Column("objective", Double),
    Column("metrics", Text),  # JSON
    _text("feedback", nullable=True),
    Column("cpu_s", Double, nullable=False),
    Column("wall_s", Double, nullable=False),
    Column("isolation", Text),
    Column("evaluator_sha256", Text),  # null: the run's own
    Column("timing_dependent", Boolean, nullable=False),
    Column("reused_from", Text),
    Column("evaluated_at", Double, nullable=False),
    # What most evaluations do not have: stage, instances, repeated values, verification (JSON).
    Column("details", Text),
    Column("host", Text),  # null: the machine of the run itself
    _of_step("programs"),
)

holdouts = _keyed(
    "holdouts",
    _run(),
    _step(),
    Column("outcome", Text, nullable=False),
    Column("objective", Double),
    Column("metrics", Text),  # JSON
    _text("feedback", nullable=True),
    Column("isolation", Text),
    Column("evaluator_sha256", Text),  # null: the run's own
    Column("evaluated_at", Double, nullable=False),
    _of_step("programs"),
)

# A finished run's best, measured once more by what nobody chose it for.
afresh = _keyed(
    "afresh",
    _run(),
    _step(),
    Column("outcome", Text, nullable=False),
    Column("objective", Double),
    Column("details", Text),  # JSON, as of evaluations: the values
    Column("evaluated_at", Double, nullable=False),
    _of_step("programs"),
)

additions = _keyed(
    "additions",
    _run(),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("program", Text),
    Column("reward", Double, nullable=False),
    Column("improved", Boolean, nullable=False),
    Column("traits", Text),  # JSON; null: the population asks for none
    Column("added_at", Double, nullable=False),
    UniqueConstraint("run", "step"),
)

notes = _keyed(
    "notes",
    _run(),
    Column("about", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("source", Text, nullable=False),
    _text("text"),
    _text("prompt", nullable=True),
    _text("reply", nullable=True),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("error", Text, nullable=False),
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
    Column("outcome", Text, nullable=False),
    Column("tokens_in", Integer, nullable=False),
    Column("usd", Double, nullable=False),
    Column("presumed", Boolean, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("error", Text, nullable=False),
    Column("ended_at", Double, nullable=False),
)

# Children, and starting programs, that were compared by identity alone because nobody embedded them.
unembedded = _keyed(
    "unembedded",
    _run(),
    _step(),
    _attempt(),
    Column("why", Text, nullable=False),
    Column("failed_at", Double, nullable=False),
)

# Limits that a run found by a model of embeddings after it had begun; others are part of its configuration.
calibrations = _keyed(
    "calibrations",
    _run(),
    Column("min_distance", Double),  # null: copies are not told from edits
    Column("copy", Double, nullable=False),
    Column("edits", Text, nullable=False),  # JSON: a list of distances
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
    Column("found", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("source", Text, nullable=False),
    _text("prompt", nullable=True),
    _text("reply", nullable=True),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("error", Text, nullable=False),
    Column("judged_at", Double, nullable=False),
    _of_step("plans"),
)

# What people tell a live run; not the run's writer's, but anybody's.
advice = _keyed(
    "advice",
    _run(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
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
