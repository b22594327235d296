"""Reads a run back: programs and evaluations, and the history that a run's state is folded from."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import (
    BindParameter,
    Connection,
    Double,
    Integer,
    Numeric,
    Select,
    Subquery,
    Table,
    bindparam,
    cast,
    func,
    select,
    union_all,
)

from evolve.archive.billing import billed
from evolve.archive.records import NOTE_ATTEMPT, Addition, Note, PendingStep, Plan, Screen, Settled
from evolve.archive.rows import Found, conditions_of, evaluation_of, judgement_of, note_of, plan_of, program_of, reply_of, screen_of
from evolve.archive.tables import (
    additions,
    advice,
    call_ends,
    calls,
    edit_failures,
    embedding_call_ends,
    embedding_calls,
    embeddings,
    evaluations,
    judge_call_ends,
    judge_calls,
    judgements,
    notes,
    plans,
    programs,
    replies,
    runs,
    screens,
    sources,
)
from evolve.archive.texts import TextReader, unpack_vector
from evolve.program import Evaluation, Outcome, Program, Reply

#: Dollars are told to the nano-dollar, as budgets count them.
NANO_DIGITS = 9


def _select_steps(table: Table) -> Select[Any]:
    query = select(table).where(table.c.run == bindparam("run"), table.c.step.in_(bindparam("steps", expanding=True)))
    return query.order_by(*table.primary_key.columns)


# Building a statement costs as much as running it, and a run's programs are looked up one by one.
_SELECT_STEPS: Mapping[Table, Select[Any]] = {
    table: _select_steps(table)
    for table in (calls, call_ends, replies, edit_failures, screens, judgements, programs, sources, evaluations)
}
_SELECT_STEP = select(programs.c.step).where(programs.c.program_id == bindparam("program"), programs.c.run == bindparam("run"))

_SELECT_EVALUATOR = select(runs.c.evaluator_sha256).where(runs.c.number == bindparam("run"))


def rows_of_steps(connection: Connection, table: Table, run: int, steps: Collection[int]) -> Sequence[Found]:
    """Reads a table's rows of some steps of a run, in the order of its key."""
    return connection.execute(_SELECT_STEPS[table], {"run": run, "steps": sorted(steps)}).all() if steps else []


def step_of(connection: Connection, run: int, program_id: str) -> int | None:
    """Returns the step that made a program; None when the run has no such program."""
    return connection.execute(_SELECT_STEP, {"program": program_id, "run": run}).scalar_one_or_none()


def load_programs(connection: Connection, texts: TextReader, run: int, steps: Collection[int]) -> dict[int, Program]:
    """Reads the programs that some steps made; steps without one are left out."""
    rows = rows_of_steps(connection, programs, run, steps)
    files = rows_of_steps(connection, sources, run, steps)
    read = texts.read(connection, (row.text for row in files))
    by_step: dict[int, dict[str, str]] = {row.step: {} for row in rows}
    for row in files:
        by_step[row.step][row.path] = read[row.text]
    return {row.step: program_of(row, by_step[row.step]) for row in rows}


def load_evaluations(connection: Connection, texts: TextReader, run: int, steps: Collection[int]) -> dict[int, Evaluation]:
    """Reads the evaluations of some steps; steps without one are left out."""
    rows = rows_of_steps(connection, evaluations, run, steps)
    read = texts.read(connection, (row.feedback for row in rows))
    evaluator = connection.execute(_SELECT_EVALUATOR, {"run": run}).scalar_one()
    return {row.step: evaluation_of(row, read, evaluator) for row in rows}


def load_settled(connection: Connection, run: int) -> list[Settled]:
    """Reads the finished steps of a run in the order of their versions."""
    costs = _costs(connection, run)
    outcomes = {outcome.value: outcome for outcome in Outcome}
    settled = []
    # Unpacked by position: by name, ten thousand rows take twice the time.
    for row in connection.execute(_settled_query(run)):
        version, step, outcome, program, reward, improved, traits, seen, island, parent, inspired, arm, *rest = row
        *conditions, mark, size, objective, reused = rest
        settled.append(
            Settled(
                Addition(version, step, outcomes[outcome], program, reward, improved, json.loads(traits) if traits else {}),
                None
                if arm is None
                else Plan(step, seen, island, parent, tuple(inspired.split()), arm, *conditions_of(*conditions)),
                mark or "",
                objective,
                size or 0,
                reused is not None,
                costs.get(step, 0.0),
            )
        )
    return settled


def _settled_query(run: int) -> Select[Any]:
    query = select(
        *additions.c["version", "step", "outcome", "program", "reward", "improved", "traits"],
        *plans.c["version", "island", "parent", "inspirations", "arm", "failures", "unavailable", "usd_per_step", "new_approach"],
        *programs.c["fingerprint", "size"],
        *evaluations.c["objective", "reused_from"],
    ).select_from(additions)
    for table in (plans, programs, evaluations):
        query = query.outerjoin(table, _same_step(table))
    return query.where(additions.c.run == run).order_by(additions.c.version)


def _same_step(table: Table) -> Any:  # Any: an expression of SQLAlchemy
    return (table.c.run == additions.c.run) & (table.c.step == additions.c.step)


def spending(run: int | BindParameter[int]) -> Subquery:
    """Selects what a run has spent: rows of ``step``, ``attempt`` and ``usd``, one for each call.

    A call whose end is not known counts with what was reserved; the reply of a mutator that keeps no record of its calls, with
    what it says that it cost.
    """
    answered = (replies.c.run == calls.c.run) & (replies.c.step == calls.c.step) & (replies.c.attempt == calls.c.attempt)
    told = (
        select(replies.c.step, replies.c.attempt, replies.c.cost_usd.label("usd"))
        .outerjoin(calls, answered)
        .where(replies.c.run == run, replies.c.cost_usd != 0, calls.c.step.is_(None))
    )
    return union_all(billed(calls, call_ends, run), told).subquery("spending")


def of_attempts(spent: Subquery) -> Any:  # Any: an expression of SQLAlchemy
    """Leaves out what notes cost: they are no step's."""
    return spent.c.attempt != NOTE_ATTEMPT


def dollars(spent: Subquery) -> Any:  # Any: an expression of SQLAlchemy
    """Sums dollars to the nearest nano-dollar: the same whether calls or attempts are summed."""
    # Only decimals are rounded by PostgreSQL.
    return cast(func.round(cast(func.sum(spent.c.usd), Numeric), NANO_DIGITS), Double)


def _costs(connection: Connection, run: int) -> Mapping[int, float]:
    spent = spending(run)
    query = select(spent.c.step, dollars(spent).label("usd")).where(of_attempts(spent)).group_by(spent.c.step)
    return {row.step: row.usd for row in connection.execute(query)}


def attempt_costs(connection: Connection, run: int) -> dict[tuple[int, int], float]:
    """Sums what each attempt of a run has cost, by step and attempt; those that cost nothing are left out."""
    spent = spending(run)
    query = (
        select(spent.c.step, spent.c.attempt, dollars(spent).label("usd"))
        .where(of_attempts(spent))
        .group_by(spent.c.step, spent.c.attempt)
    )
    return {(row.step, row.attempt): row.usd for row in connection.execute(query) if row.usd}


def step_cost() -> Select[Any]:
    """Selects what one step of a run has cost; its parameters are ``run`` and ``step``."""
    spent = spending(bindparam("run", type_=Integer))
    return select(func.coalesce(dollars(spent), 0.0)).where(spent.c.step == bindparam("step"), of_attempts(spent))


def paid_steps(connection: Connection, run: int) -> set[int]:
    """Lists the open steps of a run that cost something, or may have."""
    paid = union_all(
        select(replies.c.step).where(replies.c.run == run, replies.c.cost_usd != 0), select(calls.c.step).where(calls.c.run == run)
    ).subquery()
    query = (
        select(paid.c.step)
        .outerjoin(additions, (additions.c.run == run) & (additions.c.step == paid.c.step))
        .where(additions.c.step.is_(None))
    )
    return set(connection.execute(query).scalars())


def load_pending(connection: Connection, texts: TextReader, run: int) -> list[PendingStep]:
    """Reads the steps of a run that were planned and not added, in their order, with what they have made so far."""
    query = (
        select(plans)
        .outerjoin(additions, _same_step(plans))
        .where(plans.c.run == run, additions.c.step.is_(None))
        .order_by(plans.c.step)
    )
    pending = {row.step: PendingStep(plan_of(row)) for row in connection.execute(query)}
    answers = rows_of_steps(connection, replies, run, pending)
    failures = rows_of_steps(connection, edit_failures, run, pending)
    judged = rows_of_steps(connection, judgements, run, pending)
    hashes = [row.text for row in answers] + [row.prompt for row in answers] + [row.why for row in failures]
    read = texts.read(connection, hashes + [text for row in judged for text in (row.prompt, row.reply)])
    for row in judged:
        pending[row.step].judgements[row.attempt] = judgement_of(row, read)
    for row in answers:
        pending[row.step].replies[row.attempt] = reply_of(row, read)
    for row in failures:
        pending[row.step].edit_failures[row.attempt] = read[row.why]
    for row in rows_of_steps(connection, screens, run, pending):
        pending[row.step].screens[row.attempt] = screen_of(row)
    for row in rows_of_steps(connection, calls, run, pending):
        pending[row.step].calls[row.attempt] = row.number + 1
    for step, program in load_programs(connection, texts, run, pending).items():
        pending[step].program = program
    for step, evaluation in load_evaluations(connection, texts, run, pending).items():
        pending[step].evaluation = evaluation
    return list(pending.values())


def load_replies(connection: Connection, texts: TextReader, run: int) -> dict[tuple[int, int], Reply]:
    """Reads every reply of a run, by step and attempt."""
    found = connection.execute(select(replies).where(replies.c.run == run)).all()
    read = texts.read(connection, [row.text for row in found] + [row.prompt for row in found])
    return {(row.step, row.attempt): reply_of(row, read) for row in found}


def find_reply(connection: Connection, texts: TextReader, request_sha256: str) -> Reply | None:
    """Finds what a model answered to exactly this request in any run; the earliest answer, None when there is none."""
    query = select(replies).where(replies.c.request == bytes.fromhex(request_sha256)).order_by(replies.c.replied_at).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else reply_of(row, texts.read(connection, [row.text, row.prompt]))


def spent_usd(connection: Connection, run: int) -> float:
    """Sums what a run has spent, embeddings and judgements included, and what may have been spent on calls that a kill cut off."""
    return round(_sum(connection, spending(run)) + embedding_usd(connection, run) + judge_usd(connection, run), NANO_DIGITS)


def embedding_usd(connection: Connection, run: int) -> float:
    """Sums what a run has spent on embeddings; a call that a kill cut off counts with the most that it could cost."""
    return _sum(connection, billed(embedding_calls, embedding_call_ends, run).subquery("embedding_spending"))


def judge_usd(connection: Connection, run: int) -> float:
    """Sums what a run has spent on judgements; a call that a kill cut off counts with the most that it could cost."""
    return _sum(connection, billed(judge_calls, judge_call_ends, run).subquery("judge_spending"))


def _sum(connection: Connection, spent: Subquery) -> float:
    return float(connection.execute(select(func.coalesce(dollars(spent), 0.0))).scalar_one())


def advice_of_run() -> Select[Any]:
    """Selects what people told a run, oldest first; its parameter is ``run``."""
    return select(advice.c.text).where(advice.c.run == bindparam("run")).order_by(advice.c.number)


def load_screens(connection: Connection, run: int) -> list[Screen]:
    """Reads every screen of a run, by step and attempt."""
    query = select(screens).where(screens.c.run == run).order_by(screens.c.step, screens.c.attempt)
    return [screen_of(row) for row in connection.execute(query)]


def load_notes(connection: Connection, texts: TextReader, run: int) -> list[Note]:
    """Reads the notes on a run, in the order in which they were made."""
    found = connection.execute(select(notes).where(notes.c.run == run).order_by(notes.c.about)).all()
    read = texts.read(connection, [text for row in found for text in (row.text, row.prompt, row.reply)])
    return [note_of(row, read) for row in found]


def load_embeddings(connection: Connection, run: int, latest: int | None) -> dict[str, np.ndarray]:
    """Reads the embeddings of a run's programs in step order, as ``(d,)`` float32 arrays by identifier.

    Args:
        connection: To the archive.
        run: Which run.
        latest: How many to read, the last ones; None reads all.
    """
    query = (
        select(programs.c.program_id, embeddings.c.vector)
        .join(programs, (programs.c.run == embeddings.c.run) & (programs.c.step == embeddings.c.step))
        .where(embeddings.c.run == run)
        .order_by(embeddings.c.step.desc())
        .limit(latest)
    )
    rows = connection.execute(query).all()
    return {name: unpack_vector(vector) for name, vector in reversed(rows)}
