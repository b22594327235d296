"""Options and arguments that several commands share, declared once so that they read alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evolve.archive import DEFAULT_ARCHIVE

ArchiveOption = Annotated[
    str, typer.Option("--archive", envvar="EVOLVE_ARCHIVE", metavar="FILE|URL", help="Where runs are recorded.")
]
DEFAULT = DEFAULT_ARCHIVE

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else on standard output.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log a line per event instead of showing progress.")]
RunArgument = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="Name, number or unique prefix of a run; the latest by default.")
]
RunOption = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Look in this run; the latest by default.")]
BudgetOption = Annotated[
    float | None, typer.Option("--budget-usd", metavar="X", help="Dollars for language models; the run never spends more.")
]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=1, metavar="N", help="Evaluations at once.")]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor", metavar="WHERE", help="Where evaluations run: local, ray (this machine), HOST:PORT or ray://HOST:PORT."
    ),
]
IsolationOption = Annotated[
    str | None, typer.Option("--isolation", metavar="LEVEL", help="strong, landlock or process: refuse to run with less.")
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder to write to.")]
