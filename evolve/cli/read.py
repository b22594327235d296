"""Commands that read the archive: `runs`, `show`, `program`, `diff`, `tree`, `export`."""

from __future__ import annotations

import csv
import json as jsonlib
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.syntax import Syntax
from rich.tree import Tree

from evolve.archive.queries import attempts, curve, lineage, steps
from evolve.archive.store import Archive
from evolve.archive.summaries import summaries, summary
from evolve.cli.facts import STARTS_SHOWN, best_text, embedding_rows, held_out_rows, host_rows, judge_rows, spent_text, start_rows
from evolve.cli.options import DEFAULT, ArchiveOption, JsonOption, RunArgument, RunOption
from evolve.cli.output import (
    arms_table,
    isolation_text,
    number,
    outcomes_text,
    print_json,
    seconds,
    stdout,
    table,
)
from evolve.cli.progress import sparkline
from evolve.diffing import unified
from evolve.errors import ConfigError, RunNotFound
from evolve.program import Evaluation, Program, Stage


class ExportFormat(StrEnum):
    """How `export` writes steps."""

    JSONL = "jsonl"
    CSV = "csv"


def runs(archive: ArchiveOption = DEFAULT, json: JsonOption = False) -> None:
    """Lists the runs of the archive, the latest last."""
    with Archive.open(archive) as opened:
        found = summaries(opened)
    if json:
        print_json(found)
        return
    rows = [
        [
            str(item["run"]),
            item["name"],
            item["task"],
            item["status"],
            f"{item['steps']['done']}/{item['steps']['asked']}",
            number(item["initial"]["objective"] if item["initial"] else None),
            number(item["best"]["objective"] if item["best"] else None) + (" shared" if item["shared_process"] else ""),
            seconds(item["seconds"]),
        ]
        for item in found
    ]
    headings = ["run", "name", "task", "status", "steps", "initial", "best", "time"]
    stdout.print(table(headings, rows, right=["run", "steps", "initial", "best", "time"]))


def show(run: RunArgument = None, archive: ArchiveOption = DEFAULT, json: JsonOption = False) -> None:
    """Shows one run in figures: objective, outcomes, arms."""
    with Archive.open(archive) as opened:
        found = opened.find_run(run)
        shown, best_so_far, record = summary(opened, found), curve(opened, found), opened.run_record(found)
        notes = opened.notes(found)
    if json:
        print_json(shown)
        return
    steps_, best = shown["steps"], shown["best"]
    stdout.print(f"run {shown['name']} (number {shown['run']}): {shown['status']}", style="bold", markup=False)
    rows = [
        ["task", f"{shown['task']} ({record.direction} {record.metric})"],
        ["steps", f"{steps_['done']} of {steps_['asked']}, {shown['evaluated']} evaluated, {seconds(shown['seconds'])}"],
        ["seed", str(shown["seed"])],
        ["isolation", isolation_text(shown)],
        *host_rows(shown["hosts"]),
        ["initial", number(shown["initial"]["objective"] if shown["initial"] else None)],
        *start_rows(shown),
        ["best", "–" if best is None else best_text(best)],
        *held_out_rows(shown),
        ["verified", f"{shown['verification']['checked']} evaluated again, {shown['verification']['disagreed']} disagreed"],
        ["curve", sparkline([point.best for point in best_so_far if point.best is not None])],
        ["outcomes", outcomes_text(shown["outcomes"])],
        ["spent", spent_text(shown, record.config.get("budget_usd"))],
        *embedding_rows(shown["embeddings"]),
        *judge_rows(shown["judge"]),
        ["evaluator", record.evaluator_sha256[:16]],
        ["again with", record.command or "(task given inline)"],
    ]
    for label, text in rows:
        stdout.print(f"{label:<11}{text}", markup=False)
    stdout.print(arms_table(shown["arms"]))
    if notes:
        stdout.print(f"── note of version {notes[-1].about} ({notes[-1].source})", style="dim", markup=False)
        stdout.print(notes[-1].text, markup=False)


def program(
    program_id: Annotated[str, typer.Argument(metavar="ID", help="A program, a unique beginning of one, initial, or best.")],
    run: RunOption = None,
    prompt: Annotated[bool, typer.Option("--prompt", help="Show what the model was told, and what it answered.")] = False,
    archive: ArchiveOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Shows one program: ancestry, evaluation, attempts, source."""
    with Archive.open(archive) as opened:
        number_, found = _find(opened, run, program_id)
        shown, evaluation = opened.program(number_, found)
        ancestors = lineage(opened, number_, found)
        tried = attempts(opened, number_, shown.step)
        name = opened.run_record(number_).name
    if json:
        print_json({"run": name, **_program_json(shown, evaluation), "lineage": ancestors, "attempts": tried})
        return
    if prompt:
        _print_conversations(tried)
        return
    stdout.print(
        f"program {shown.program_id} of run {name}, step {shown.step}, generation {shown.generation}", style="bold", markup=False
    )
    if evaluation is not None:
        _print_evaluation(evaluation)
    stdout.print("from " + " ← ".join(str(item["program"]) for item in ancestors), style="dim", markup=False)
    for attempt in tried:
        stdout.print(
            f"attempt {attempt['attempt']}: {attempt.get('edit_failure') or attempt.get('edit') or ''}", style="dim", markup=False
        )
    for path, text in shown.files.items():
        stdout.print(f"── {path}", style="dim", markup=False)
        stdout.print(Syntax(text, Syntax.guess_lexer(path, text), background_color="default"))


def _print_conversations(tried: list[dict[str, Any]]) -> None:  # Any: JSON values
    """Prints what was asked and answered, attempt by attempt."""
    if not any(attempt.get("prompt") for attempt in tried):
        stdout.print("no model was asked: a local mutator, or nobody, made this program", markup=False)
    for attempt in tried:
        for role, text in jsonlib.loads(attempt.get("prompt") or "[]"):
            stdout.print(f"══ attempt {attempt['attempt']}, {role}", style="bold", markup=False)
            stdout.print(text, markup=False)
        if attempt.get("prompt"):
            spent = f"{attempt['tokens_in']} + {attempt['tokens_out']} tokens, {attempt['usd']:.5f} usd"
            stdout.print(
                f"══ attempt {attempt['attempt']}, reply ({spent}, {seconds(attempt['latency_s'])})", style="bold", markup=False
            )
            stdout.print(attempt["reply"], markup=False)
        if attempt.get("edit_failure"):
            stdout.print(f"══ attempt {attempt['attempt']} came to nothing: {attempt['edit_failure']}", style="red", markup=False)


def _print_evaluation(evaluation: Evaluation) -> None:
    at = f" at {evaluation.stage}" if evaluation.stage is not Stage.EVALUATE else ""
    found = f"{evaluation.outcome}{at}, objective {number(evaluation.objective)}"
    if evaluation.standard_error is not None:
        found += f" ± {number(evaluation.standard_error)} (standard error, {len(evaluation.values)} values)"
    again = {None: "", True: ", evaluated again", False: ", evaluated twice: the scores disagree"}[evaluation.verified]
    stdout.print(found + again, markup=False)
    for metric, value in evaluation.metrics.items():
        stdout.print(f"  {metric:<24} {number(value.value)}", markup=False)
    for name, score in evaluation.instances.items():
        stdout.print(f"  {name:<24} {number(score)}   (instance)", markup=False)
    if evaluation.feedback:
        stdout.print(evaluation.feedback, style="dim", markup=False)


def diff(
    first: Annotated[str, typer.Argument(metavar="ID", help="A program, initial, or best; alone, it is compared with its parent.")],
    second: Annotated[str | None, typer.Argument(metavar="[ID]", help="The newer program.")] = None,
    run: RunOption = None,
    archive: ArchiveOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Shows what changed between two programs, or between a parent and its child."""
    with Archive.open(archive) as opened:
        number_, newer = _find(opened, run, second or first)
        after, _ = opened.program(number_, newer)
        if second is None and not after.parents:
            raise ConfigError(f"program {after.program_id} is a starting program: it has no parent to compare with")
        older = after.parents[0] if second is None else _find(opened, str(number_) if run or first in _WORDS else run, first)[1]
        before, _ = opened.program(number_, older)
    text = unified(before.files, after.files)
    if json:
        print_json({"from": before.program_id, "to": after.program_id, "diff": text})
    elif sys.stdout.isatty():
        stdout.print(Syntax(text, "diff", background_color="default"))
    else:
        sys.stdout.write(text)


def tree(
    run: RunArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="Draw every program, not only the way to each improvement.")] = False,
    archive: ArchiveOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Draws the tree of programs that led to the best."""
    with Archive.open(archive) as opened:
        found = opened.find_run(run)
        nodes = [row for row in steps(opened, found) if row["program"] is not None]
    kept = nodes if everything else _ways_to_improvements(nodes)
    if json:
        keys = ("program", "parent", "step", "generation", "outcome", "objective", "arm", "improved")
        print_json([{key: node[key] for key in keys} for node in kept])
    else:
        stdout.print(_draw(kept))


def export(
    run: RunArgument = None,
    fmt: Annotated[ExportFormat, typer.Option("--format", help="jsonl or csv.")] = ExportFormat.JSONL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here; standard output by default.")
    ] = None,
    archive: ArchiveOption = DEFAULT,
) -> None:
    """Writes every step of a run as JSON lines or CSV."""
    with Archive.open(archive) as opened, _sink(output) as sink:
        rows = steps(opened, opened.find_run(run))
        try:
            _write_rows(rows, sink, fmt)
            sink.flush()
        except BrokenPipeError:
            # The reader (`| head`) has seen enough; without this the interpreter complains as it closes standard output.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_rows(rows: Iterable[dict[str, Any]], sink: TextIO, fmt: ExportFormat) -> None:  # Any: JSON values
    if fmt is ExportFormat.CSV:
        _write_csv(rows, sink)
        return
    for row in rows:
        sink.write(jsonlib.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def _sink(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise ConfigError(f"cannot write to {output}: {error.strerror}") from error


def _write_csv(rows: Iterable[dict[str, Any]], sink: TextIO) -> None:  # Any: JSON values
    """Writes rows as CSV; lists and tables inside a row are JSON texts."""
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        flat = {key: jsonlib.dumps(value) if isinstance(value, dict | list) else value for key, value in row.items()}
        if writer is None:
            writer = csv.DictWriter(sink, list(flat))
            writer.writeheader()
        writer.writerow(flat)


#: Words that stand for a program of the run.
_WORDS = ("initial", "best")


def _find(opened: Archive, run: str | None, word: str) -> tuple[int, str]:
    """Finds a program by identifier, a beginning of one, or the words ``initial`` and ``best``."""
    number_ = opened.find_run(run) if run is not None or word in _WORDS else None
    if word not in _WORDS or number_ is None:
        return opened.find_program(number_, word)
    found = summary(opened, number_)[word]
    if found is None:
        raise RunNotFound(f"the run has no {word} program: nothing has scored yet")
    return number_, found["program"]


def _program_json(shown: Program, evaluation: Evaluation | None) -> dict[str, Any]:  # Any: JSON values
    return {
        "program": shown.program_id,
        "step": shown.step,
        "generation": shown.generation,
        "parents": list(shown.parents),
        "files": dict(shown.files),
        "source_sha256": shown.source_sha256,
        "outcome": evaluation.outcome if evaluation else None,
        "objective": evaluation.objective if evaluation else None,
        "metrics": {name: metric.value for name, metric in evaluation.metrics.items()} if evaluation else {},
        "feedback": evaluation.feedback if evaluation else "",
        "stage": evaluation.stage if evaluation else None,
        "instances": dict(evaluation.instances) if evaluation else {},
        "values": list(evaluation.values) if evaluation else [],
        "standard_error": evaluation.standard_error if evaluation else None,
        "verified": evaluation.verified if evaluation else None,
        "shared_process": evaluation.shared_process if evaluation else False,
        "host": evaluation.host if evaluation else "",
    }


def _ways_to_improvements(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:  # Any: JSON values
    """Keeps the programs that became the best, and their ancestors; also the starting programs, unless they are many."""
    by_id = {node["program"]: node for node in nodes}
    starts = {node["program"] for node in nodes if node["step"] <= 0}
    kept: set[str] = starts if len(starts) <= STARTS_SHOWN else set()
    for node in nodes:
        way = node["program"] if node["improved"] else None
        while way is not None and way not in kept:
            kept.add(way)
            way = by_id[way]["parent"] if way in by_id else None
    return [node for node in nodes if node["program"] in kept]


def _draw(nodes: list[dict[str, Any]]) -> Tree:  # Any: JSON values
    known = {node["program"] for node in nodes}
    children = defaultdict(list)
    for node in nodes:
        children[node["parent"] if node["parent"] in known else None].append(node)
    top = Tree("programs", hide_root=True)
    # The initial program first: further starting programs have numbers below its own.
    roots = sorted(children[None], key=lambda node: -node["step"] if node["step"] <= 0 else node["step"])
    waiting = [(top, node, "") for node in reversed(roots)]
    # A loop, not a recursion: lineages grow longer than Python's stack.
    while waiting:
        home, node, mark = waiting.pop()
        grown = home.add(mark + _label(node))
        below = children[node["program"]]
        # An only child stays in its parent's column, marked, or a long lineage would leave the screen.
        place = (home, "↳ ") if len(below) == 1 else (grown, "")
        waiting.extend((place[0], child, place[1]) for child in reversed(below))
    return top


def _start_label(step: int) -> str:
    return "initial program" if step == 0 else "starting program"


def _label(node: dict[str, Any]) -> str:  # Any: JSON values
    text = f"{node['program']}  step {node['step']}  {number(node['objective'])}  {node['arm'] or _start_label(node['step'])}"
    return text.replace("[", r"\[") + ("  [bold]improved[/bold]" if node["improved"] else "")


COMMANDS = {"runs": runs, "show": show, "program": program, "diff": diff, "tree": tree, "export": export}
