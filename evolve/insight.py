"""Counts what worked and what failed in a run, and says it in a few lines that prompts can draw from.

A fold over finished steps, as `evolve.search` is: no score enters but to be shown, so nothing depends on its unit. Failures count
like everything else. Texts of programs and evaluators are looked up only when a note is due, and only a bounded number of them.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from evolve.archive.records import Addition
from evolve.diffing import gist, unified
from evolve.llm.specs import EditKind
from evolve.mutation import Scored
from evolve.program import Outcome
from evolve.prompts.fencing import one_line
from evolve.prompts.precision import Precision
from evolve.search import Finished

#: Of a whole note.
_CHARS = 1000
#: Failures, and improvements, that a note looks up.
_FAILURES = 30
_GAINS = 5
#: Of each kind of line that a note has.
_MOST_ARMS = 6
_MOST_MESSAGES = 3
_MOST_PLACES = 3
#: Of a quoted change or message, and of an arm's name.
_LINE_CHARS = 90
_KINDS = frozenset(kind.value for kind in EditKind)
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)")
#: Where a function or a type begins, in the languages that programs are written in.
_PLACE = re.compile(
    r"^\s*(?:(?:export|default|pub|public|private|static|async|inline)\s+)*"
    r"(?:def|class|fn|func|function|struct|impl|subroutine|module)\s+([A-Za-z_]\w*)"
)


@dataclass(frozen=True, slots=True)
class InsightConfig:
    """When notes on a run are made, and by whom.

    Attributes:
        every: Finished steps between two notes; 0 makes none.
        model: SPEC of the model that writes them, a cheap one; None counts only.
    """

    every: int = 0
    model: str | None = None

    def __post_init__(self) -> None:
        if self.every < 0:
            raise ValueError(f"every must be >= 0, got {self.every}")
        if self.model is not None and not self.every:
            raise ValueError(f"model is {self.model!r}, but every is 0, so that it is asked for no note; say how often: every = 50")


@dataclass(slots=True)
class Count:
    """How steps went.

    Attributes:
        tried: Finished steps.
        scored: Those whose program was scored.
        better: Those whose program was better than its parent.
    """

    tried: int = 0
    scored: int = 0
    better: int = 0


class Gain(NamedTuple):
    """A step that made a new best program.

    Attributes:
        gain: By how much, in the objective's unit; what is shown is the order alone.
        step: Which.
        parent: Identifier of what was changed.
        child: Identifier of what came of it.
    """

    gain: float
    step: int
    parent: str
    child: str


class Failure(NamedTuple):
    """A step whose program did not score.

    Attributes:
        parent: Identifier of what was changed.
        child: Identifier of what came of it.
    """

    parent: str
    child: str


@dataclass(slots=True)
class Tally:
    """What was counted of a run so far.

    Attributes:
        arms: Per arm.
        kinds: Per kind of edit; a mutator that is no model's is a kind of its own.
        outcomes: Of steps without a score.
        gains: The largest steps to a new best program.
        failures: The latest programs that did not score.
        best: The best program; None before any has scored.
    """

    arms: defaultdict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    kinds: defaultdict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    gains: list[Gain] = field(default_factory=list)
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=_FAILURES))
    best: str | None = None
    _objective: float | None = None

    def settle(self, finished: Finished, addition: Addition) -> None:
        """Takes note of a finished step, in the order of the archive's versions."""
        plan, scored = finished.plan, finished.objective is not None and not finished.reused
        if plan is not None:
            for count in (self.arms[plan.arm], self.kinds[kind_of(plan.arm)]):
                count.tried += 1
                count.scored += scored
                # An arm earns nothing unless its program is better than the parent.
                count.better += addition.reward > 0
            if finished.objective is None:
                self.outcomes[finished.outcome] += 1
                # An evaluator that failed says so with lines of its own source, which no prompt may show.
                if finished.program is not None and finished.outcome is not Outcome.EVALUATOR_FAILED:
                    self.failures.append(Failure(plan.parent, finished.program))
        if addition.improved and finished.program is not None and finished.objective is not None:
            if plan is not None and self._objective is not None:
                gain = Gain(abs(finished.objective - self._objective), finished.step, plan.parent, finished.program)
                self.gains = heapq.nlargest(_GAINS, [*self.gains, gain])
            self.best, self._objective = finished.program, finished.objective


def kind_of(arm: str) -> str:
    """Returns the kind of edit that an arm is named for; of a mutator that is no model's, its own name."""
    return next((part for part in reversed(arm.split("/")) if part in _KINDS), arm)


def counted(tally: Tally, look_up: Callable[[str], Scored]) -> str:
    """Says what was counted, in at most a thousand characters.

    What programs and evaluators wrote is quoted in single lines without hidden characters; the whole is to be fenced.

    Args:
        tally: The run so far.
        look_up: Finds a program of the run with its evaluation.
    """
    lines = [_overall(tally.arms.values()), *_tables(tally)]
    gains = [(gain, look_up(gain.parent), look_up(gain.child)) for gain in tally.gains]
    lines += _gains(gains)
    lines += _places((before, after) for _, before, after in gains)
    lines += _failures(tally, look_up)
    return _within(lines)


def _overall(counts: Iterable[Count]) -> str:
    rows = [(count.tried, count.scored, count.better) for count in counts]
    tried, scored, better = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0)
    return f"Of {tried} steps {scored} made a new program that was scored, {better} one better than its parent."


def _tables(tally: Tally) -> Iterator[str]:
    yield "Steps, scored, better than the parent:"
    yield from _rows(tally.arms)
    if len(tally.kinds) < len(tally.arms):
        yield "The same by kind of edit:"
        yield from _rows(tally.kinds)


def _rows(counts: dict[str, Count]) -> Iterator[str]:
    often = sorted(counts.items(), key=lambda item: (-item[1].tried, item[0]))[:_MOST_ARMS]
    for name, count in often:
        yield f"- {one_line(name, _LINE_CHARS)}: {count.tried}, {count.scored}, {count.better}"


def _gains(gains: list[tuple[Gain, Scored, Scored]]) -> Iterator[str]:
    if not gains:
        return
    scores = [scored.evaluation.objective for _, *pair in gains for scored in pair]
    number = Precision([score for score in scores if score is not None])
    yield "Largest improvements of the best program:"
    for gain, before, after in gains:
        change = gist(unified(before.program.files, after.program.files, context=0))
        reached = "" if after.evaluation.objective is None else f" to {number(after.evaluation.objective)}"
        yield f"- step {gain.step}{reached}: {one_line(change, _LINE_CHARS)}"


def _places(pairs: Iterable[tuple[Scored, Scored]]) -> Iterator[str]:
    touched = Counter(place for before, after in pairs for place in places(before, after))
    if touched:
        often = sorted(touched.items(), key=lambda item: (-item[1], item[0]))[:_MOST_PLACES]
        yield "They changed: " + ", ".join(f"{place} ({count})" for place, count in often)


def places(before: Scored, after: Scored) -> set[str]:
    """Names the functions or types that a change touched; what stands in none belongs to its file."""
    found: set[str] = set()
    path, lines = "", list[str]()
    for line in unified(before.program.files, after.program.files, context=0).splitlines():
        if line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/")
            lines = after.program.files.get(path, "").splitlines()
        elif start := _HUNK.match(line):
            found.add(_place(lines, int(start[1]) - 1) or one_line(path, _LINE_CHARS))
    return found


def _place(lines: list[str], index: int) -> str:
    """Returns what the line stands in: the nearest beginning of a function or type above it that is indented less."""
    inside = len(lines[index]) - len(lines[index].lstrip()) if index < len(lines) else 0
    for number in range(min(index, len(lines) - 1), -1, -1):
        begins = _PLACE.match(lines[number])
        indent = len(lines[number]) - len(lines[number].lstrip())
        if begins and (indent < inside or number == index):
            return begins[1]
    return ""


def _failures(tally: Tally, look_up: Callable[[str], Scored]) -> Iterator[str]:
    if not tally.outcomes:
        return
    ended = sorted(tally.outcomes.items(), key=lambda item: (-item[1], item[0]))
    yield "Without a score: " + ", ".join(f"{count} {outcome}" for outcome, count in ended)
    messages = Counter(message for failure in tally.failures if (message := _message(look_up(failure.child))))
    often = sorted(messages.items(), key=lambda item: (-item[1], item[0]))[:_MOST_MESSAGES]
    if often:
        yield f"Of the latest {len(tally.failures)} that ran, most often:"
        yield from (f"- {message}{f' ({count} times)' if count > 1 else ''}" for message, count in often)


def _message(failed: Scored) -> str:
    """Says how a program failed: the last line of what was said of it names the error."""
    said = next((line for line in reversed(failed.evaluation.feedback.splitlines()) if line.strip()), "")
    return f"{failed.evaluation.outcome}: {one_line(said, _LINE_CHARS)}" if said else ""


def _within(lines: list[str]) -> str:
    """Joins lines as long as there is room."""
    kept: list[str] = []
    room = _CHARS
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join(kept)
