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
    SmallInteger,
    Table,
    UniqueConstraint,
)

from evolve.archive.columns import (
    WORDS,
    attempt_key,
    call_ends_table,
    calls_table,
    keyed,
    metadata,
    of_step,
    run_key,
    step_key,
    text_key,
)

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", WORDS, nullable=False, unique=True),
    Column("task", WORDS, nullable=False),
    Column("task_origin", WORDS, nullable=False),
    Column("task_folder", WORDS, nullable=False),
    Column("evaluator_sha256", WORDS, nullable=False),
    Column("direction", WORDS, nullable=False),
    Column("metric", WORDS, nullable=False),
    Column("seed", WORDS, nullable=False),  # a whole number of any size
    Column("config", WORDS, nullable=False),  # JSON
    Column("versions", WORDS, nullable=False),  # JSON
    Column("commit_id", WORDS, nullable=False),
    Column("command", WORDS, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("rescores", Integer),  # number of the run whose programs it scores again
)

# What a run was told to start from; written with the run, so that it can begin, or begin again, without anybody's files.
starts = keyed(
    "starts",
    run_key(),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 0, in the order given
    Column("origin", WORDS, nullable=False),
    Column("source_sha256", LargeBinary, nullable=False),
)

start_sources = keyed(
    "start_sources",
    run_key(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("path", WORDS, primary_key=True),
    text_key("text"),
    ForeignKeyConstraint(["run", "number"], ["starts.run", "starts.number"]),
)

sessions = keyed(
    "sessions",
    run_key(),
    Column("session", Integer, primary_key=True, autoincrement=False),
    Column("host", WORDS, nullable=False),
    Column("place", WORDS, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process", WORDS, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("writing", Boolean, nullable=False),  # the run's writer lock: at most the latest session's is true
    Column("status", WORDS, nullable=False),
    Column("asked_steps", Integer, nullable=False),
    Column("reason", WORDS, nullable=False),
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

plans = keyed(
    "plans",
    run_key(),
    step_key(),
    Column("version", Integer, nullable=False),
    Column("island", SmallInteger, nullable=False),
    Column("parent", WORDS, nullable=False),
    Column("inspirations", WORDS, nullable=False),  # identifiers, separated by spaces
    Column("arm", WORDS, nullable=False),
    Column("planned_at", Double, nullable=False),
    Column("failures", WORDS),  # identifiers, separated by spaces
    Column("unavailable", WORDS),  # JSON: a list of arms
    Column("usd_per_step", Double),
    Column("new_approach", Boolean),  # null: no
)

replies = keyed(
    "replies",
    run_key(),
    step_key(),
    attempt_key(),
    text_key("text"),
    text_key("prompt", nullable=True),
    Column("strategy", WORDS),  # JSON
    Column("parents", WORDS, nullable=False),  # identifiers, separated by spaces
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("cost_usd", Double, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("replied_at", Double, nullable=False),
    Column("finish", WORDS),  # null: it ended of itself
    Column("request", LargeBinary),  # hash of exactly what was asked; null where no model was
    of_step("plans"),
)
_ASKED = replies.c.request.is_not(None)
replies_by_request = Index("replies_by_request", replies.c.request, sqlite_where=_ASKED, postgresql_where=_ASKED)

# Two rows for one call: the first is there before anything is sent, so that money in flight at a kill is known of.
calls = calls_table("calls", of_step("plans"))

call_ends = call_ends_table("call_ends")

edit_failures = keyed("edit_failures", run_key(), step_key(), attempt_key(), text_key("why"), of_step("plans"))

screens = keyed(
    "screens",
    run_key(),
    step_key(),
    attempt_key(),
    Column("version", Integer, nullable=False),
    Column("verdict", WORDS, nullable=False),
    Column("nearest", WORDS),
    Column("similarity", Double),
    of_step("plans"),
)

programs = keyed(
    "programs",
    run_key(),
    step_key(),
    Column("program_id", WORDS, nullable=False),
    Column("parent", WORDS),
    Column("donors", WORDS, nullable=False),  # identifiers of further parents, separated by spaces
    Column("generation", Integer, nullable=False),
    Column("strategy", WORDS),  # JSON
    Column("size", Integer, nullable=False),
    Column("source_sha256", LargeBinary, nullable=False),
    Column("fingerprint", WORDS, nullable=False),
    # In this order it also serves the search for a prefix over all runs.
    UniqueConstraint("program_id", "run"),
)

sources = keyed("sources", run_key(), step_key(), Column("path", WORDS, primary_key=True), text_key("text"), of_step("programs"))

embeddings = Table(
    "embeddings", metadata, run_key(), step_key(), Column("vector", LargeBinary, nullable=False), of_step("programs")
)

evaluations = keyed(
    "evaluations",
    run_key(),
    step_key(),
    Column("outcome", WORDS, nullable=False),
    Column("objective", Double),
    Column("metrics", WORDS),  # JSON
    text_key("feedback", nullable=True),
    Column("cpu_s", Double, nullable=False),
    Column("wall_s", Double, nullable=False),
    Column("isolation", WORDS),
    Column("evaluator_sha256", WORDS),  # null: the run's own
    Column("timing_dependent", Boolean, nullable=False),
    Column("reused_from", WORDS),
    Column("evaluated_at", Double, nullable=False),
    # What most evaluations do not have: stage, instances, repeated values, verification (JSON).
    Column("details", WORDS),
    Column("host", WORDS),  # null: the machine of the run itself
    of_step("programs"),
)

holdouts = keyed(
    "holdouts",
    run_key(),
    step_key(),
    Column("outcome", WORDS, nullable=False),
    Column("objective", Double),
    Column("metrics", WORDS),  # JSON
    text_key("feedback", nullable=True),
    Column("isolation", WORDS),
    Column("evaluator_sha256", WORDS),  # null: the run's own
    Column("evaluated_at", Double, nullable=False),
    of_step("programs"),
)

# A finished run's best, measured once more by what nobody chose it for.
afresh = keyed(
    "afresh",
    run_key(),
    step_key(),
    Column("outcome", WORDS, nullable=False),
    Column("objective", Double),
    Column("details", WORDS),  # JSON, as of evaluations: the values
    Column("evaluated_at", Double, nullable=False),
    of_step("programs"),
)

additions = keyed(
    "additions",
    run_key(),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, nullable=False),
    Column("outcome", WORDS, nullable=False),
    Column("program", WORDS),
    Column("reward", Double, nullable=False),
    Column("improved", Boolean, nullable=False),
    Column("traits", WORDS),  # JSON; null: the population asks for none
    Column("added_at", Double, nullable=False),
    UniqueConstraint("run", "step"),
)

notes = keyed(
    "notes",
    run_key(),
    Column("about", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("source", WORDS, nullable=False),
    text_key("text"),
    text_key("prompt", nullable=True),
    text_key("reply", nullable=True),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("error", WORDS, nullable=False),
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
embedding_calls = calls_table("embedding_calls")

embedding_call_ends = keyed(
    "embedding_call_ends",
    run_key(),
    step_key(),
    attempt_key(),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("outcome", WORDS, nullable=False),
    Column("tokens_in", Integer, nullable=False),
    Column("usd", Double, nullable=False),
    Column("presumed", Boolean, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("error", WORDS, nullable=False),
    Column("ended_at", Double, nullable=False),
)

# Children, and starting programs, that were compared by identity alone because nobody embedded them.
unembedded = keyed(
    "unembedded",
    run_key(),
    step_key(),
    attempt_key(),
    Column("why", WORDS, nullable=False),
    Column("failed_at", Double, nullable=False),
)

# Limits that a run found by a model of embeddings after it had begun; others are part of its configuration.
calibrations = keyed(
    "calibrations",
    run_key(),
    Column("min_distance", Double),  # null: copies are not told from edits
    Column("copy", Double, nullable=False),
    Column("edits", WORDS, nullable=False),  # JSON: a list of distances
    Column("calibrated_at", Double, nullable=False),
)

# As `calls` and `call_ends`, of the model that judges borderline children: what it costs is no step's.
judge_calls = calls_table("judge_calls", of_step("plans"))

judge_call_ends = call_ends_table("judge_call_ends")

# What became of the question; the screen of the same attempt names the program that the child was compared with.
judgements = keyed(
    "judgements",
    run_key(),
    step_key(),
    attempt_key(),
    Column("found", WORDS, nullable=False),
    Column("why", WORDS, nullable=False),
    Column("source", WORDS, nullable=False),
    text_key("prompt", nullable=True),
    text_key("reply", nullable=True),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("error", WORDS, nullable=False),
    Column("judged_at", Double, nullable=False),
    of_step("plans"),
)

# What people tell a live run; not the run's writer's, but anybody's.
advice = keyed(
    "advice",
    run_key(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("text", WORDS, nullable=False),
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
