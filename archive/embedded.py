"""Reads back what a run has of models that embed programs: their vectors, calls and failures, and the limit found by them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import numpy as np
from sqlalchemy import Connection, func, select

from evolve.archive.records import FoundLimit
from evolve.archive.tables import calibrations, embedding_call_ends, unembedded, vectors
from evolve.archive.texts import unpack_vector

# Databases limit the parameters of one statement (SQLite before 3.32: 999).
_KEYS_AT_ONCE = 500


def load_vectors(connection: Connection, keys: Collection[bytes]) -> dict[bytes, np.ndarray]:
    """Reads vectors by their keys, as ``(d,)`` float32 arrays; those that there are not are left out."""
    wanted = sorted(keys)
    found: dict[bytes, np.ndarray] = {}
    for start in range(0, len(wanted), _KEYS_AT_ONCE):
        query = select(vectors.c.key, vectors.c.vector).where(vectors.c.key.in_(wanted[start : start + _KEYS_AT_ONCE]))
        found.update({row.key: unpack_vector(row.vector) for row in connection.execute(query)})
    return found


def load_unembedded(connection: Connection, run: int) -> dict[tuple[int, int], str]:
    """Reads why programs of a run have no embedding, by step and attempt."""
    query = select(unembedded.c.step, unembedded.c.attempt, unembedded.c.why).where(unembedded.c.run == run)
    return {(row.step, row.attempt): row.why for row in connection.execute(query)}


def load_limit(connection: Connection, run: int) -> FoundLimit | None:
    """Reads the limit that a run found by a model of embeddings; None where it has not, or has found none so."""
    row = connection.execute(select(calibrations).where(calibrations.c.run == run)).one_or_none()
    return None if row is None else FoundLimit(row.min_distance, row.copy, tuple(json.loads(row.edits)))


def embedding_figures(connection: Connection, run: int) -> Mapping[str, int]:
    """Counts what embedding has taken: ``calls`` that were answered, their ``tokens``, and ``failed``, programs without any."""
    ends = embedding_call_ends.c
    query = select(func.count(), func.coalesce(func.sum(ends.tokens_in), 0)).where(ends.run == run, ends.outcome == "ok")
    calls, tokens = connection.execute(query).one()
    failed = connection.execute(select(func.count()).select_from(unembedded).where(unembedded.c.run == run)).scalar_one()
    return {"calls": calls, "tokens": tokens, "failed": failed}
