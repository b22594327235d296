"""Shows how starting programs are scored, which a rescoring is all of: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evolve.cli.output import outcomes_text, seconds
from evolve.program import Evaluation

_BAR_WIDTH = 40
#: A plain line at most this often.
_LINE_EVERY_S = 5.0


class StartsTally:
    """What the display of a rescoring needs to know, kept from what is told of its programs."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._clock = clock
        self._started = clock()
        self.done = 0
        self.total = 0
        self.outcomes: Counter[str] = Counter()

    def take(self, evaluation: Evaluation, total: int) -> None:
        """Takes note of one program."""
        self.done += 1
        self.total = total
        self.outcomes[evaluation.outcome] += 1

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._started

    @property
    def rate(self) -> float:
        """Programs per second."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that the remaining programs will take at this rate."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


class LiveStarts:
    """A panel that is redrawn a few times a second; for terminals."""

    def __init__(self, tally: StartsTally, console: Console) -> None:
        self._tally = tally
        self._live = Live(console=console, get_renderable=self._panel, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveStarts:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def scored(self, evaluation: Evaluation, total: int) -> None:
        self._tally.take(evaluation, total)

    def _panel(self) -> Panel:
        tally = self._tally
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim")
        grid.add_column()
        grid.add_row("outcomes", outcomes_text(tally.outcomes))
        grid.add_row("pace", f"{tally.rate:.1f} programs/s   {seconds(tally.elapsed_s)} gone, {seconds(tally.left_s)} left")
        bar = ProgressBar(total=tally.total or None, completed=tally.done, width=_BAR_WIDTH)
        title = f"rescoring {tally.name}   program {tally.done} of {tally.total or '–'}"
        return Panel(Group(grid, bar), title=Text(title), title_align="left", border_style="dim", expand=False)


class LineStarts:
    """A line now and then, and one for the last program; for logs and pipes."""

    def __init__(self, tally: StartsTally, console: Console) -> None:
        self._tally = tally
        self._console = console
        self._last = 0.0

    def __enter__(self) -> LineStarts:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def scored(self, evaluation: Evaluation, total: int) -> None:
        tally = self._tally
        tally.take(evaluation, total)
        if tally.done == total or tally.elapsed_s - self._last >= _LINE_EVERY_S:
            self._last = tally.elapsed_s
            line = f"program {tally.done}/{total}  {tally.rate:.1f} programs/s  {seconds(tally.left_s)} left"
            self._console.print(line, markup=False)


class NoStarts:
    """Shows nothing."""

    def __enter__(self) -> NoStarts:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def scored(self, evaluation: Evaluation, total: int) -> None:
        pass


def starts_progress(name: str, console: Console, *, quiet: bool) -> LiveStarts | LineStarts | NoStarts:
    """Chooses the display of a rescoring that suits the console.

    Args:
        name: Of the run whose programs are scored again.
        console: Where to.
        quiet: Whether to show nothing.
    """
    if quiet:
        return NoStarts()
    tally = StartsTally(name)
    return LiveStarts(tally, console) if console.is_terminal else LineStarts(tally, console)
