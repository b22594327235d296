"""The command `rescore`."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import typer

from evolve import api
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.cli.options import DEFAULT, ArchiveOption, JsonOption, QuietOption, RunArgument, VerboseOption, WorkersOption
from evolve.cli.output import number, print_json, stderr, stdout, table
from evolve.cli.starts_progress import starts_progress
from evolve.rescoring import Comparison, Rescored


def rescore(
    run: RunArgument = None,
    top: Annotated[
        int | None, typer.Option(metavar="N", help="The best N and the initial program; all that scored by default.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call the new run.")] = "",
    workers: WorkersOption = None,
    force: Annotated[bool, typer.Option("--force", help="Score again by an evaluator that has not changed.")] = False,
    archive: ArchiveOption = DEFAULT,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Scores a run's programs again after its task's evaluator has changed, into a new run."""
    if verbose:
        logging.getLogger("evolve").setLevel(logging.INFO)
    with Archive.open(archive) as opened:
        old = opened.run_record(opened.find_run(run))
    with starts_progress(old.name, stderr, quiet=quiet or verbose) as watcher:
        result = api.rescore(str(old.number), top=top, name=name, workers=workers, force=force, archive=archive, watcher=watcher)
    with Archive.open(archive) as opened:
        shown = None if result.run is None else summary(opened, result.run)
    if json:
        print_json(_json(result, old.name, shown))
    elif not quiet:
        _print(result, old.name, shown)
    if result.ending is not None and result.ending.reason == "interrupted":
        stderr.print("interrupted; what was scored is safe. The same command goes on", markup=False)
        raise typer.Exit(130)


def _json(result: Rescored, old: str, shown: dict[str, Any] | None) -> dict[str, Any]:  # Any: JSON values
    return {
        "run": result.run,
        "name": None if shown is None else shown["name"],
        "rescores": {"run": result.of, "name": old},
        "evaluator_changed": result.run is not None,
        "changed": _changed(result),
        "programs": [
            {
                "program": row.program,
                "rescored": row.rescored,
                "outcome": row.outcome,
                "objective_before": row.before,
                "objective": row.after,
                "rank_before": row.rank_before,
                "rank": row.rank_after,
            }
            for row in result.programs
        ],
    }


def _changed(result: Rescored) -> dict[str, Any]:  # Any: JSON values
    changes = result.changes
    best, before = changes.best, changes.best_before
    return {
        "better": changes.better,
        "worse": changes.worse,
        "failed": changes.failed,
        "ranks": changes.moved,
        "best_before": None if before is None else before.program,
        "best": None if best is None else best.program,
    }


def _print(result: Rescored, old: str, shown: dict[str, Any] | None) -> None:  # Any: JSON values
    if shown is None:
        stdout.print(f"the evaluator is the one that run {old} was scored by: nothing has changed (--force scores all the same)")
        return
    rows = [
        [row.program, number(row.before), number(row.after) if row.after is not None else row.outcome or "–", _rank(row)]
        for row in result.programs
    ]
    stdout.print(table(["program", "before", "now", "rank"], rows, right=["before", "now", "rank"]))
    scored = sum(row.after is not None for row in result.programs)
    stdout.print(f"run {shown['name']} rescores run {old}: {scored} of {len(rows)} programs score", markup=False)
    stdout.print(_said(result), markup=False)


def _said(result: Rescored) -> str:
    """Says in a sentence what the new scores changed."""
    changes = result.changes
    counts = {"better": changes.better, "worse": changes.worse, "without a score now": changes.failed}
    scores = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    ranks = f"{changes.moved} rank{'' if changes.moved == 1 else 's'} moved"
    before, best = changes.best_before, changes.best
    if before is None or best is None:
        return "nothing was scored yet" if before is None else f"changed: {scores}; nothing scores now"
    if not scores:
        return f"no score has changed; the best is {best.program}"
    stays = f"the best stays {best.program}" if best is before else f"the best is {best.program}, and was {before.program}"
    return f"changed: {scores}; {ranks}; {stays}"


def _rank(row: Comparison) -> str:
    """Writes the new rank and how far it moved."""
    if row.rank_after is None:
        return f"{row.rank_before} → –"
    moved = row.rank_before - row.rank_after
    return f"{row.rank_after}" + (f" ({moved:+d})" if moved else "")


COMMANDS = {"rescore": rescore}
