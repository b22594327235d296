"""Turns records into rows and back. Texts are handed over and taken back by hash (`evolve.archive.texts`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from evolve.archive.details import details_of, details_text
from evolve.archive.records import (
    Addition,
    CallBegun,
    CallEnded,
    Judgement,
    Likeness,
    NewRun,
    Note,
    Plan,
    RunRecord,
    Screen,
    Verdict,
)
from evolve.program import Direction, Evaluation, Files, Isolation, Metric, Outcome, Program, Reply

Values = dict[str, object]
"""A row to be written, by column."""
Found = Row[Any]  # Any: a row's columns depend on the query
"""A row that was read."""
Json = dict[str, Any]  # Any: JSON values
"""What is shown of rows."""


#: How most replies end.
_FINISHED = "stop"

# What no database takes in words (SQLite: half of a surrogate pair; PostgreSQL: that and NUL). Texts are bytes and hold anything.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(values: Mapping[str, object]) -> Values:
    """Puts a replacement character in place of what no database can hold: NUL, and halves of surrogate pairs.

    Error messages of servers and names that a terminal sent may hold them.
    """
    return {name: storable_words(value) if isinstance(value, str) else value for name, value in values.items()}


def storable_words(text: str) -> str:
    """The same of one value."""
    # Nearly all are plain, and there are some twenty of them in a step.
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


def words(identifiers: tuple[str, ...]) -> str:
    """Writes identifiers into one column."""
    return " ".join(identifiers)


def _numbers(values: Mapping[str, float] | None) -> str | None:
    return None if values is None else json.dumps(dict(values), separators=(",", ":"))


def metrics_text(metrics: Mapping[str, Metric]) -> str | None:
    """Writes metrics: the value, or value and direction where there is one; None for no metrics."""
    if not metrics:
        return None
    plain = {
        name: float(metric.value) if metric.direction is None else [float(metric.value), metric.direction.value]
        for name, metric in metrics.items()
    }
    return json.dumps(plain, separators=(",", ":"))


def metrics_of(text: str | None) -> dict[str, Metric]:
    """Reads what `metrics_text` wrote."""
    read = json.loads(text) if text else {}
    return {
        name: Metric(value[0], Direction(value[1])) if isinstance(value, list) else Metric(value)
        for name, value in read.items()
    }  # fmt: skip


def metric_values(text: str | None) -> dict[str, float]:
    """Reads the values of what `metrics_text` wrote, in the order of their names."""
    return {name: metric.value for name, metric in sorted(metrics_of(text).items())}


def plan_values(plan: Plan) -> Values:
    """Makes the row of a plan."""
    return {
        "step": plan.step,
        "version": plan.version,
        "island": plan.island,
        "parent": plan.parent,
        "inspirations": words(plan.inspirations),
        "arm": plan.arm,
        "failures": words(plan.failures) or None,
        "unavailable": json.dumps(list(plan.unavailable)) if plan.unavailable else None,
        "usd_per_step": None if plan.usd_per_step is None else float(plan.usd_per_step),
        "new_approach": plan.new_approach or None,
    }


def plan_of(row: Found) -> Plan:
    """Reads a plan back."""
    return Plan(
        row.step,
        row.version,
        row.island,
        row.parent,
        tuple(row.inspirations.split()),
        row.arm,
        *conditions_of(row.failures, row.unavailable, row.usd_per_step, row.new_approach),
    )


def conditions_of(
    failures: str | None, unavailable: str | None, usd_per_step: float | None, new_approach: bool | None
) -> tuple[tuple[str, ...], tuple[str, ...], float | None, bool]:
    """Reads what few plans have: failed children, arms that could not be pulled, dollars per step, a wish for a new approach."""
    return (
        tuple(failures.split()) if failures else (),
        tuple(json.loads(unavailable)) if unavailable else (),
        usd_per_step,
        bool(new_approach),
    )


def call_values(begun: CallBegun) -> Values:
    """Makes the row of a call that is about to be sent."""
    return asdict(begun)


def call_end_values(ended: CallEnded, error: bytes | None) -> Values:
    """Makes the row of a call's end whose error is stored under this hash."""
    return {**asdict(ended), "error": error}


def embedding_call_end_values(ended: CallEnded) -> Values:
    """Makes the row of the end of a call that embeds: it answers no tokens."""
    kept = ("step", "attempt", "number", "outcome", "tokens_in", "usd", "presumed", "latency_s", "error")
    return {name: getattr(ended, name) for name in kept}


def reply_values(step: int, attempt: int, reply: Reply, text: bytes, prompt: bytes | None) -> Values:
    """Makes the row of a reply whose text and prompt are stored under these hashes."""
    return {
        "step": step,
        "attempt": attempt,
        "text": text,
        "prompt": prompt,
        "strategy": _numbers(reply.strategy),
        "parents": words(reply.parents),
        "tokens_in": reply.tokens_in,
        "tokens_out": reply.tokens_out,
        "cost_usd": float(reply.cost_usd),
        "latency_s": float(reply.latency_s),
        "finish": None if reply.finish == _FINISHED else reply.finish,
        "request": bytes.fromhex(reply.request_sha256) if reply.request_sha256 else None,
    }


def reply_of(row: Found, texts: Mapping[bytes | None, str]) -> Reply:
    """Reads a reply back."""
    return Reply(
        text=texts[row.text],
        strategy=None if row.strategy is None else json.loads(row.strategy),
        parents=tuple(row.parents.split()),
        prompt=texts[row.prompt],
        tokens_in=row.tokens_in,
        tokens_out=row.tokens_out,
        cost_usd=row.cost_usd,
        latency_s=row.latency_s,
        finish=row.finish or _FINISHED,
        request_sha256=row.request.hex() if row.request else "",
    )


def screen_values(screen: Screen) -> Values:
    """Makes the row of a screen."""
    return {
        "step": screen.step,
        "attempt": screen.attempt,
        "version": screen.version,
        "verdict": screen.verdict.value,
        "nearest": screen.nearest,
        "similarity": None if screen.similarity is None else float(screen.similarity),
    }


def screen_of(row: Found) -> Screen:
    """Reads a screen back."""
    return Screen(row.step, row.attempt, row.version, Verdict(row.verdict), row.nearest, row.similarity)


def judgement_values(judgement: Judgement, prompt: bytes | None, reply: bytes | None) -> Values:
    """Makes the row of a judgement whose texts are stored under these hashes."""
    return {**asdict(judgement), "found": judgement.found.value, "prompt": prompt, "reply": reply}


def judgement_of(row: Found, texts: Mapping[bytes | None, str]) -> Judgement:
    """Reads a judgement back."""
    return Judgement(
        step=row.step,
        attempt=row.attempt,
        found=Likeness(row.found),
        why=row.why,
        source=row.source,
        prompt=texts[row.prompt],
        reply=texts[row.reply],
        tokens_in=row.tokens_in,
        tokens_out=row.tokens_out,
        latency_s=row.latency_s,
        error=row.error,
    )


def program_values(program: Program, fingerprint: str) -> Values:
    """Makes the row of a program; its files are rows of their own."""
    return {
        "step": program.step,
        "program_id": program.program_id,
        "parent": program.parents[0] if program.parents else None,
        "donors": words(program.parents[1:]),
        "generation": program.generation,
        "strategy": _numbers(program.strategy) if program.strategy else None,
        "size": sum(len(text) for text in program.files.values()),
        "source_sha256": bytes.fromhex(program.source_sha256),
        "fingerprint": fingerprint,
    }


def program_of(row: Found, files: Files) -> Program:
    """Reads a program back."""
    return Program(
        program_id=row.program_id,
        step=row.step,
        files=files,
        parents=() if row.parent is None else (row.parent, *row.donors.split()),
        generation=row.generation,
        strategy=json.loads(row.strategy) if row.strategy else {},
    )


def evaluation_values(step: int, evaluation: Evaluation, feedback: bytes | None, run_evaluator: str) -> Values:
    """Makes the row of an evaluation whose feedback is stored under this hash."""
    same = evaluation.evaluator_sha256 == run_evaluator
    return {
        "step": step,
        "outcome": evaluation.outcome.value,
        "objective": None if evaluation.objective is None else float(evaluation.objective),
        "metrics": metrics_text(evaluation.metrics),
        "feedback": feedback,
        "cpu_s": float(evaluation.cpu_s),
        "wall_s": float(evaluation.wall_s),
        "isolation": None if evaluation.isolation is None else evaluation.isolation.value,
        "evaluator_sha256": None if same else evaluation.evaluator_sha256,
        "timing_dependent": evaluation.timing_dependent,
        "reused_from": evaluation.reused_from,
        "details": details_text(evaluation),
        "host": evaluation.host or None,
    }


def holdout_values(step: int, evaluation: Evaluation, feedback: bytes | None, run_evaluator: str) -> Values:
    """Makes the row of a finished result's score on held-out data."""
    values = evaluation_values(step, evaluation, feedback, run_evaluator)
    kept = ("step", "outcome", "objective", "metrics", "feedback", "isolation", "evaluator_sha256")
    return {name: values[name] for name in kept}


def afresh_values(step: int, evaluation: Evaluation) -> Values:
    """Makes the row of what a finished result came to when it was measured afresh."""
    return {
        "step": step,
        "outcome": evaluation.outcome.value,
        "objective": None if evaluation.objective is None else float(evaluation.objective),
        "details": details_text(evaluation),
    }


def evaluation_of(row: Found, texts: Mapping[bytes | None, str], run_evaluator: str) -> Evaluation:
    """Reads an evaluation back."""
    return Evaluation(
        outcome=Outcome(row.outcome),
        objective=row.objective,
        metrics=metrics_of(row.metrics),
        feedback=texts[row.feedback],
        cpu_s=row.cpu_s,
        wall_s=row.wall_s,
        isolation=None if row.isolation is None else Isolation(row.isolation),
        evaluator_sha256=run_evaluator if row.evaluator_sha256 is None else row.evaluator_sha256,
        timing_dependent=row.timing_dependent,
        reused_from=row.reused_from,
        host=row.host or "",
        **details_of(row.details),
    )


def addition_values(addition: Addition) -> Values:
    """Makes the row of an addition."""
    return {
        "version": addition.version,
        "step": addition.step,
        "outcome": addition.outcome.value,
        "program": addition.program,
        "reward": float(addition.reward),
        "improved": addition.improved,
        "traits": json.dumps(dict(addition.traits)) if addition.traits else None,
    }


def note_values(note: Note, text: bytes, prompt: bytes | None, reply: bytes | None) -> Values:
    """Makes the row of a note whose texts are stored under these hashes."""
    return {**asdict(note), "text": text, "prompt": prompt, "reply": reply}


def note_of(row: Found, texts: Mapping[bytes | None, str]) -> Note:
    """Reads a note back."""
    return Note(
        about=row.about,
        version=row.version,
        text=texts[row.text],
        source=row.source,
        prompt=texts[row.prompt],
        reply=texts[row.reply],
        tokens_in=row.tokens_in,
        tokens_out=row.tokens_out,
        latency_s=row.latency_s,
        error=row.error,
    )


def run_values(new: NewRun) -> Values:
    """Makes the row of a run, without number and name."""
    return {
        "task": new.task,
        "task_origin": new.task_origin,
        "task_folder": new.task_folder,
        "evaluator_sha256": new.evaluator_sha256,
        "direction": Direction(new.direction).value,
        "metric": new.metric,
        "seed": str(new.seed),
        "config": json.dumps(dict(new.config)),
        "versions": json.dumps(dict(new.versions)),
        "commit_id": new.commit,
        "command": new.command,
        "rescores": new.rescores,
    }


def run_of(row: Found, initial: Program | None) -> RunRecord:
    """Reads a run back.

    Args:
        row: Of the table ``runs``.
        initial: Its initial program, once there is one.
    """
    return RunRecord(
        task=row.task,
        task_origin=row.task_origin,
        task_folder=row.task_folder,
        evaluator_sha256=row.evaluator_sha256,
        direction=row.direction,
        metric=row.metric,
        seed=int(row.seed),
        config=json.loads(row.config),
        versions=json.loads(row.versions),
        commit=row.commit_id,
        command=row.command,
        name=row.name,
        rescores=row.rescores,
        number=row.number,
        created_at=row.created_at,
        initial_program=initial.program_id if initial else None,
        initial_files=initial.files if initial else {},
    )
