"""The command `task baselines`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from evolve.baselines.figure import draw
from evolve.baselines.journal import Journal, Measurement
from evolve.baselines.measuring import Plan, measure
from evolve.baselines.programs import select
from evolve.baselines.report import as_json, as_markdown, difference_cells, failure_text, mean_text
from evolve.baselines.results import Results, in_short, read_results
from evolve.cli.options import ExecutorOption, IsolationOption, JsonOption, QuietOption, WorkersOption
from evolve.cli.output import number, print_json, seconds, stderr, stdout, table
from evolve.config import resolve
from evolve.errors import ConfigError
from evolve.provenance import commit_of
from evolve.tasks.catalog import find

_REPORT, _FIGURE = "baselines.md", "baselines.png"

#: Metrics beside each other on the terminal.
_ABREAST = 5


def baselines(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A name or a folder.")],
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="How many seeds each is measured with.")] = 10,
    first_seed: Annotated[int, typer.Option(min=0, metavar="K", help="The seeds are K, K+1, …")] = 0,
    only: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="Measure and show these alone, and the reference that is named.")
    ] = "",
    reference: Annotated[
        str, typer.Option(metavar="NAME", help="What the others are held against; the task's first that should score by default.")
    ] = "",
    artifacts: Annotated[
        bool, typer.Option("--artifacts", help="Write figure and artifacts of the first seed to DIR/NAME/.")
    ] = False,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    isolation: IsolationOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for results and report; baselines-TASK by default."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measures a task's baselines with the same seeds: means with intervals, paired differences, a report and a figure."""
    found = find(task)
    selection = select(found, [name.strip() for name in only.split(",") if name.strip()], reference)
    folder = output or Path(f"baselines-{found.name}")
    config = resolve(found, options={"workers": workers, "executor": executor, "isolation": isolation})
    plan = Plan(found, config, selection, range(first_seed, first_seed + seeds), folder, artifacts)
    command = shlex.join(["evolve", *sys.argv[1:]])
    with Journal(folder, found) as journal:
        for words in journal.left_out(selection.programs):
            stderr.print(f"warning: {words}", markup=False)
        try:
            measure(plan, journal, _unwatched if quiet else _told)
        except KeyboardInterrupt:
            stderr.print(f"interrupted; nothing is lost. The same command goes on: {command}", markup=False)
            raise typer.Exit(130) from None
        results = read_results(plan, journal)
        written = _write(results, folder, command)
    if json:
        print_json(as_json(results))
    else:
        _print(results, [journal.path, *written])


def _told(measurement: Measurement, done: int, total: int) -> None:
    evaluation = measurement.evaluation
    what = number(evaluation.objective) if evaluation.ok else f"{evaluation.outcome}: {in_short(evaluation.feedback)}"
    words = f"{done}/{total}  {measurement.baseline}, seed {measurement.seed}: {what}  ({seconds(evaluation.wall_s)})"
    stderr.print(words, markup=False)


def _unwatched(_: Measurement, __: int, ___: int) -> None:
    pass


def _write(results: Results, folder: Path, command: str) -> list[Path]:
    """Writes report and figure, and returns where."""
    report, figure = folder / _REPORT, folder / _FIGURE
    try:
        drawn = draw(results, figure)
        text = as_markdown(results, command=command, commit=commit_of(results.task.folder), figure=_FIGURE if drawn else "")
        report.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from error
    return [report, *([figure] if drawn else [])]


def _print(results: Results, written: list[Path]) -> None:
    objective = results.task.objective
    stdout.print(f"{results.task.name}: {objective.metric} ({objective.direction}), {len(results.seeds)} seeds", style="bold")
    rows = []
    for row in results.rows:
        scored = mean_text(row.objective) if row.objective is not None else failure_text(results, row)
        rows.append([row.program.name, scored, *difference_cells(row.difference)])
    stdout.print(table(["baseline", f"{objective.metric} ± 95 %", f"difference to {results.reference}", "p", "p, Holm"], rows))
    _print_metrics(results)
    for path in written:
        stdout.print(f"written: {path}", markup=False)


def _print_metrics(results: Results) -> None:
    """Prints means of the metrics that the task names for its table; the report has them with intervals."""
    names = results.task.baselines_table.metrics
    for first in range(0, len(names), _ABREAST):
        some = names[first : first + _ABREAST]
        means = [[results.mean_of(row, name) for name in some] for row in results.rows]
        cells = [["–" if mean is None else f"{mean.value:.4g}" for mean in each] for each in means]
        stdout.print(table(["baseline", *some], [[row.program.name, *each] for row, each in zip(results.rows, cells, strict=True)]))
