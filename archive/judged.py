"""Reads back what a run has of the model that judges borderline children: judgements, calls, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from evolve.archive.records import Judgement, Likeness
from evolve.archive.rows import judgement_of
from evolve.archive.tables import judgements
from evolve.archive.texts import TextReader


def load_judgements(connection: Connection, texts: TextReader, run: int) -> dict[tuple[int, int], Judgement]:
    """Reads every judgement of a run, by step and attempt."""
    found = connection.execute(select(judgements).where(judgements.c.run == run)).all()
    read = texts.read(connection, [text for row in found for text in (row.prompt, row.reply)])
    return {(row.step, row.attempt): judgement_of(row, read) for row in found}


def judge_figures(connection: Connection, run: int) -> Mapping[str, int]:
    """Counts what judging has taken and brought.

    Returns:
        ``calls`` that were answered, their ``tokens``, asked and answered together, and the children of each `Likeness`.
    """
    said = judgements.c
    # An answer that nobody could read was an answer all the same; only answered ones have a prompt.
    answered = func.count().filter(said.prompt.is_not(None))
    query = select(answered, func.coalesce(func.sum(said.tokens_in + said.tokens_out), 0)).where(said.run == run)
    calls, tokens = connection.execute(query).one()
    counts = select(said.found, func.count().label("children")).where(said.run == run).group_by(said.found)
    found = {row.found: row.children for row in connection.execute(counts)}
    return {"calls": calls, "tokens": tokens, **{likeness.value: found.get(likeness.value, 0) for likeness in Likeness}}
