"""The command `best`."""

from __future__ import annotations

import asyncio

from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.cli.options import DEFAULT, ArchiveOption, JsonOption, OutputOption, RunArgument
from evolve.cli.output import held_out_text, number, print_json, spread_text, stderr, stdout
from evolve.errors import RunNotFound
from evolve.takeaway import Takeaway, take_away


def best(run: RunArgument = None, output: OutputOption = None, archive: ArchiveOption = DEFAULT, json: JsonOption = False) -> None:
    """Shows a run's best program, or writes it to a folder with patch, picture and provenance."""
    with Archive.open(archive) as opened:
        found = opened.find_run(run)
        shown = summary(opened, found)
        best = shown["best"]
        if best is None:
            raise RunNotFound(f"run {shown['name']} has no best program: nothing has scored yet")
        program, _ = opened.program(found, best["program"])
        taken = None if output is None else asyncio.run(take_away(opened, found, best["program"], output))
    if json:
        written = {} if taken is None else {"output": str(taken.folder), "written": list(taken.files), "agrees": taken.agrees}
        print_json({"run": shown["run"], "name": shown["name"], **best, "files": dict(program.files), **written})
        return
    heading = f"{program.program_id}, step {best['step']}, generation {best['generation']}: objective {number(best['objective'])}"
    heading += spread_text(best["interval"], best["objective"])
    stderr.print(heading, style="bold", markup=False)
    if best["holdout"] is not None:
        stderr.print(f"on held-out data: {held_out_text(best['holdout'])}", markup=False)
    if taken is None:
        for path, text in program.files.items():
            if len(program.files) > 1:
                stdout.print(f"# {path}", style="dim", markup=False)
            stdout.out(text, highlight=False, end="" if text.endswith("\n") else "\n")
    else:
        _print_taken(taken)


def _print_taken(taken: Takeaway) -> None:
    stdout.print(f"wrote to {taken.folder}: {', '.join(taken.files)}", markup=False)
    if taken.agrees:
        stdout.print(
            f"scored again in a fresh sandbox ({taken.evaluation.isolation}): {number(taken.evaluation.objective)}, as recorded"
        )
    else:
        stdout.print(
            f"scored again in a fresh sandbox: {taken.evaluation.outcome} {number(taken.evaluation.objective)}, but the run "
            f"recorded {number(taken.recorded)}: the program or the evaluator is not deterministic",
            style="bold red",
            markup=False,
        )


COMMANDS = {"best": best}
