"""Shows a run while it goes on: a live panel on a terminal, plain lines elsewhere."""

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

from evolve.archive.records import Addition
from evolve.cli.output import number, outcomes_text, seconds
from evolve.program import Task
from evolve.search import Finished, Search

_BARS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 40
#: A plain line at most this often, unless a program improved.
_LINE_EVERY_S = 5.0


def sparkline(values: list[float], width: int = _CURVE_WIDTH) -> str:
    """Draws a series as a row of bars, the lowest value lowest.

    Args:
        values: In order; resampled to ``width`` when there are more.
        width: Characters at most.
    """
    if not values:
        return ""
    picked = values if len(values) <= width else [values[int((i + 1) * len(values) / width) - 1] for i in range(width)]
    low, high = min(picked), max(picked)
    span = high - low or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in picked)


class Tally:
    """What the display needs to know, kept from what the loop tells."""

    def __init__(self, task: Task, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.task = task
        self.steps = steps
        self._clock = clock
        self._started = clock()
        self._first: int | None = None
        self.done = 0
        self.outcomes: Counter[str] = Counter()
        self.pulls: Counter[str] = Counter()
        self.gains: Counter[str] = Counter()
        self.curve: list[float] = []
        self.usd = 0.0
        self.initial: float | None = None
        self.best: float | None = None
        self.best_step = 0

    def take(self, addition: Addition, finished: Finished, search: Search) -> None:
        """Takes note of one addition."""
        # Starting programs come before version 0.
        self.done = max(0, addition.version)
        self._first = self.done if self._first is None else self._first
        if finished.plan is None:
            self.initial = finished.objective if finished.step == 0 else self.initial
        else:
            self.usd += finished.cost_usd
            self.outcomes[finished.outcome] += 1
            self.pulls[finished.plan.arm] += 1
            self.gains[finished.plan.arm] += addition.improved
        if search.best is not None:
            self.best, self.best_step = search.best.objective, search.best.step
            self.curve.append(search.best.objective)

    @property
    def elapsed_s(self) -> float:
        """Seconds since this session began."""
        return self._clock() - self._started

    @property
    def rate(self) -> float:
        """Steps per second in this session."""
        done_here = self.done - (self._first or 0)
        return done_here / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that the remaining steps will take at this rate."""
        return (self.steps - self.done) / self.rate if self.rate > 0 else None

    def distance(self) -> str:
        """How far the best is from the best known value."""
        known = self.task.objective.best_known
        if known is None or self.best is None:
            return ""
        return f"{abs(known - self.best):.3g} from the best known {number(known)}"


class LiveProgress:
    """A panel that is redrawn a few times a second; for terminals."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self._tally = tally
        self._live = Live(console=console, get_renderable=self._panel, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def settled(self, addition: Addition, finished: Finished, search: Search) -> None:
        self._tally.take(addition, finished, search)

    def _panel(self) -> Panel:
        tally = self._tally
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim")
        grid.add_column()
        metric = tally.task.objective.metric
        grid.add_row("best", Text(f"{metric} {number(tally.best)}", style="bold") + Text(f"   step {tally.best_step}", style="dim"))
        grid.add_row("", Text(sparkline(tally.curve), style="green"))
        grid.add_row("from", f"{number(tally.initial)}   {tally.distance()}" if tally.initial is not None else tally.distance())
        grid.add_row("outcomes", outcomes_text(tally.outcomes))
        grid.add_row("arms", ", ".join(f"{arm} {tally.gains[arm]}/{count}" for arm, count in sorted(tally.pulls.items())))
        if tally.usd:
            grid.add_row("spent", f"{tally.usd:.4f} usd in this session")
        grid.add_row("pace", f"{tally.rate:.1f} steps/s   {seconds(tally.elapsed_s)} gone, {seconds(tally.left_s)} left")
        bar = ProgressBar(total=tally.steps, completed=tally.done, width=_CURVE_WIDTH)
        title = f"{tally.task.name}   step {tally.done} of {tally.steps}"
        return Panel(Group(grid, bar), title=title, title_align="left", border_style="dim", expand=False)


class LineProgress:
    """A line for each improvement, and one now and then; for logs and pipes."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self._tally = tally
        self._console = console
        self._last = -_LINE_EVERY_S

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def settled(self, addition: Addition, finished: Finished, search: Search) -> None:
        self._tally.take(addition, finished, search)
        if addition.improved or self._tally.elapsed_s - self._last >= _LINE_EVERY_S:
            self._last = self._tally.elapsed_s
            self._console.print(self._line(addition), markup=False)

    def _line(self, addition: Addition) -> str:
        tally = self._tally
        return (
            f"step {tally.done}/{tally.steps}  best {number(tally.best)}{'  improved' if addition.improved else ''}"
            f"  {tally.rate:.1f} steps/s  {seconds(tally.left_s)} left{f'  {tally.usd:.4f} usd' if tally.usd else ''}"
        )


class NoProgress:
    """Shows nothing."""

    def __enter__(self) -> NoProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def settled(self, addition: Addition, finished: Finished, search: Search) -> None:
        pass


def progress(task: Task, steps: int, console: Console, *, quiet: bool) -> LiveProgress | LineProgress | NoProgress:
    """Chooses the display that suits the console."""
    if quiet:
        return NoProgress()
    tally = Tally(task, steps)
    return LiveProgress(tally, console) if console.is_terminal else LineProgress(tally, console)
