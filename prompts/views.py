"""What templates see of programs and evaluations: words and numbers that are ready to be printed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from evolve.diffing import gist, unified
from evolve.edits import mutable_regions
from evolve.mutation import MutationRequest, Scored
from evolve.program import Evaluation, Files, Metric, Outcome
from evolve.prompts.budget import Detail
from evolve.prompts.fencing import block, fenced, one_line, shortened, visible
from evolve.prompts.precision import Precision, compared
from evolve.rendering import render_files

#: The paths and texts of a program.
Source = tuple[tuple[str, str], ...]
#: What an outcome means to somebody who is to do better.
OUTCOMES: Mapping[Outcome, str] = {
    Outcome.OK: "it ran and was scored",
    Outcome.INVALID: "it ran, but its answer does not count",
    Outcome.CRASHED: "it crashed",
    Outcome.TIMED_OUT: "it ran out of time",
    Outcome.OUT_OF_MEMORY: "it ran out of memory",
    Outcome.EVALUATOR_FAILED: "the evaluator failed on it",
    Outcome.REJECTED: "it was not run, because it is a copy, or nearly one, of a known program",
    Outcome.EDIT_FAILED: "it was not run, because the answer could not be turned into a program",
}
#: Outcomes of programs that ran and failed by their own fault.
MENDABLE = frozenset((Outcome.INVALID, Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY))
#: A table with more rows than this is skimmed, not read.
_MOST_METRICS = 20
_MOST_WINS = 5
#: A failed child's difference is to remind of an idea, not to be copied.
_DIFF_CHARS = 2000
#: Of the line that says what a change was.
_GIST_CHARS = 120
#: Stands in for the one part that may change where the rest of a program is shown.
GAP = "... your code goes here ..."
_CHANGED = re.compile(r"^([+-])(?!\+\+ b/|\+\+ /dev/null|-- a/|-- /dev/null)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table of numbers.

    Attributes:
        name: Of the metric.
        value: Printed.
        before: What the program's own parent has, printed; empty when that is not known.
        better: ``"more is better"``, ``"less is better"`` or empty.
    """

    name: str
    value: str
    before: str
    better: str


@dataclass(frozen=True, slots=True)
class ParentView:
    """The program that is to be changed.

    Attributes:
        files: Its source in fenced blocks; of a brief prompt with one region, the text of the region alone.
        score: Its objective, printed, or how it ended.
        standing: Sentences that compare it with its own parent and with the best program.
        metrics: Further numbers.
    """

    files: str
    score: str
    standing: tuple[str, ...]
    metrics: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class InspirationView:
    """Another program to learn from.

    Attributes:
        number: From 1.
        score: Its objective, printed, or how it ended.
        standing: How it stands to the parent: ``"better by 0.1 than"``; empty where one of them has no objective.
        wins: Instances at which it beats the parent.
        source: Fenced; empty when it is left out.
        is_diff: Whether ``source`` is what distinguishes it from the parent.
    """

    number: int
    score: str
    standing: str
    wins: tuple[str, ...]
    source: str
    is_diff: bool


@dataclass(frozen=True, slots=True)
class FailureView:
    """A child of the parent that failed.

    Attributes:
        number: From 1, the latest first.
        outcome: In words.
        diff: What it changed in the parent, fenced; empty when left out, or when it changed nothing.
        feedback: What was said about it, fenced; empty when there is none.
        files: Its source in fenced blocks; only of the child that is to be mended.
    """

    number: int
    outcome: str
    diff: str
    feedback: str
    files: str


@dataclass(frozen=True, slots=True)
class AncestorView:
    """One program on the way to the parent.

    Attributes:
        generation: Its distance from the initial program.
        score: Its objective, printed, or how it ended.
        change: What it changed in the program before it: ``"+3 -2 lines"``; empty for the first of the list.
    """

    generation: int
    score: str
    change: str


@dataclass(frozen=True, slots=True)
class ChangeView:
    """A change that was tried.

    Attributes:
        came_of_it: The objective before and after, or how it failed.
        diff: What it changed, fenced.
    """

    came_of_it: str
    diff: str


#: What templates are given besides texts, numbers and tuples of them.
VIEWS = (Row, ParentView, InspirationView, FailureView, AncestorView, ChangeView)


class Diff(Protocol):
    """Compares two sources; the paths and texts of each come as pairs, which a cache can look up."""

    def __call__(self, before: Source, after: Source, context: int) -> str:
        """Returns their unified difference with so many unchanged lines around each change."""
        ...


def difference(before: Source, after: Source, context: int) -> str:
    """Compares two sources; a `Diff` that remembers nothing."""
    return unified(dict(before), dict(after), context=context)


class Views:
    """Makes views of the programs of one request; numbers of one quantity share their precision."""

    def __init__(self, request: MutationRequest, *, brief: bool, whole: bool = False, diff: Diff = difference) -> None:
        """Prepares the views.

        Args:
            request: What is asked.
            brief: Whether the prompt is for a small model.
            whole: Whether files are shown whole even so: search/replace blocks refer to a program with its markers.
            diff: Compares programs.
        """
        self._request = request
        self._brief = brief
        self._region_alone = brief and not whole
        self._objective = Precision(_objectives(request))
        self._compare = diff

    @property
    def only_region(self) -> str | None:
        """The text between the markers where a program of one file has one pair of them and the prompt is brief."""
        return only_region(self._request.parent.program.files) if self._region_alone else None

    def source(self, files: Files) -> str:
        """Writes what a model has to read of a program that it changes."""
        region = only_region(files) if self._region_alone else None
        shown = in_order(files, self._request.task.files) if region is None else {next(iter(files)): region}
        return render_files(shown).rstrip("\n")

    def surroundings(self) -> str:
        """Writes the program without its only region, or nothing where it has several or none."""
        files = self._request.parent.program.files
        if self.only_region is None:
            return ""
        [(path, text)] = files.items()
        [region] = mutable_regions(files)[path]
        return render_files({path: f"{text[: region.start]}{GAP}\n{text[region.end :]}"}).rstrip("\n")

    def parent(self, detail: Detail) -> ParentView:
        parent = self._request.parent
        return ParentView(
            files=self.source(parent.program.files),
            score=self._score(parent.evaluation),
            standing=tuple(self._standing()),
            metrics=tuple(self._rows()) if detail.metrics else (),
        )

    def inspirations(self, detail: Detail, *, cross: bool) -> tuple[InspirationView, ...]:
        """Views inspirations; the first one is shown whatever the detail says when it is to be combined with the parent."""
        shown = self._request.inspirations[: max(detail.inspirations, int(cross))]
        sources = max(detail.sources, int(cross))
        return tuple(self._inspiration(index, other, source=index < sources) for index, other in enumerate(shown))

    def failures(self, detail: Detail, mended: Scored | None) -> tuple[FailureView, ...]:
        """Views failed children but the one that is to be mended."""
        others = [failure for failure in self._request.failures if failure is not mended][: detail.failures]
        return tuple(
            FailureView(
                number=index + 1,
                outcome=OUTCOMES[failure.evaluation.outcome],
                diff=self._failure_diff(failure) if detail.failure_diffs else "",
                feedback=feedback(failure.evaluation, detail.failure_chars),
                files="",
            )
            for index, failure in enumerate(others)
        )

    def mended(self, failure: Scored, detail: Detail) -> FailureView:
        """Views the child that is to be mended."""
        return FailureView(
            number=1,
            outcome=OUTCOMES[failure.evaluation.outcome],
            diff="",
            feedback=feedback(failure.evaluation, detail.feedback_chars),
            files=self.source(failure.program.files),
        )

    def lineage(self) -> tuple[AncestorView, ...]:
        """Views the ancestors and the parent, the oldest first."""
        chain = [*reversed(self._request.lineage), self._request.parent]
        views = []
        for before, scored in zip([None, *chain], chain, strict=False):
            change = "" if before is None else changed_lines(self._diff(before, scored, 0))
            views.append(AncestorView(scored.program.generation, self._score(scored.evaluation), change))
        return tuple(views)

    def tried(self, detail: Detail) -> tuple[str, ...]:
        """Says in a line each what was tried: on the way to the parent, in inspirations and in failed children."""
        request = self._request
        chain = [*reversed(request.lineage), request.parent] if detail.lineage else [*request.lineage[:1], request.parent]
        steps = [(before, after, self._score(after.evaluation)) for before, after in itertools.pairwise(chain)]
        steps += [(request.parent, other, self._score(other.evaluation)) for other in request.inspirations[: detail.inspirations]]
        steps += [(request.parent, child, OUTCOMES[child.evaluation.outcome]) for child in request.failures[: detail.failures]]
        changes = ((gist(self._diff(before, after, 0)), came_of_it) for before, after, came_of_it in steps)
        return tuple(f"{one_line(change, _GIST_CHARS)} ({came_of_it})" for change, came_of_it in changes if change)

    def _score(self, evaluation: Evaluation) -> str:
        if evaluation.objective is None:
            return f"none: {OUTCOMES[evaluation.outcome]}"
        value = self._objective(evaluation.objective)
        if evaluation.standard_error is None:
            return value
        error = Precision(())(evaluation.standard_error)
        return f"{value} (mean of {len(evaluation.values)} measurements, standard error {error})"

    def _standing(self) -> Iterable[str]:
        """Compares the parent with its own parent and with the best program."""
        request = self._request
        if request.lineage and (against := self._against(request.parent, request.lineage[0])):
            yield f"It is {against} its own parent."
        best = request.best
        if best is None or best.evaluation.objective is None:
            return
        if best.program.program_id == request.parent.program.program_id:
            yield "It is the best program so far."
        elif against := self._against(request.parent, best):
            yield f"It is {against} the best program so far, which has {self._objective(best.evaluation.objective)}."

    def _against(self, scored: Scored, other: Scored) -> str:
        value, against = scored.evaluation.objective, other.evaluation.objective
        if value is None or against is None:
            return ""
        return compared(self._request.task.objective.direction, value, against)

    def _rows(self) -> Iterable[Row]:
        request = self._request
        metrics = request.parent.evaluation.metrics
        for name in list(metrics)[:_MOST_METRICS]:
            metric = metrics[name]
            before = [other.evaluation.metrics[name].value for other in request.lineage[:1] if name in other.evaluation.metrics]
            number = Precision([metric.value, *before])
            yield Row(one_line(name), number(metric.value), number(before[0]) if before else "", _better(metric))

    def _inspiration(self, index: int, other: Scored, *, source: bool) -> InspirationView:
        text, is_diff = self._distinguishes(other) if source else ("", False)
        return InspirationView(
            number=index + 1,
            score=self._score(other.evaluation),
            standing=self._against(other, self._request.parent),
            wins=tuple(self._wins(other.evaluation)),
            source=text,
            is_diff=is_diff,
        )

    def _distinguishes(self, other: Scored) -> tuple[str, bool]:
        """Returns the difference from the parent where it is the shorter text, else the source; and whether it is a difference."""
        whole = self.source(other.program.files)
        diff = self._diff(self._request.parent, other, 2)
        if diff and len(diff) < len(whole):
            return block(visible(diff), "diff"), True
        return whole, False

    def _wins(self, other: Evaluation) -> Iterable[str]:
        """Names the instances where another program beats the parent, the widest margin first."""
        direction, ours = self._request.task.objective.direction, self._request.parent.evaluation.instances
        gains = {
            name: direction.oriented(value) - direction.oriented(ours[name])
            for name, value in other.instances.items()
            if name in ours and direction.oriented(value) > direction.oriented(ours[name])
        }
        for name in sorted(gains, key=lambda name: (-gains[name], name))[:_MOST_WINS]:
            number = Precision([other.instances[name], ours[name]])
            yield f"{one_line(name)}: {number(other.instances[name])}, the parent {number(ours[name])}"

    def _failure_diff(self, failure: Scored) -> str:
        diff = self._diff(self._request.parent, failure, 1)
        return block(shortened(visible(diff), _DIFF_CHARS), "diff") if diff else ""

    def _diff(self, before: Scored, after: Scored, context: int) -> str:
        return self._compare(tuple(before.program.files.items()), tuple(after.program.files.items()), context)


def _objectives(request: MutationRequest) -> list[float]:
    """Lists every value of the objective that the prompt may show."""
    shown = [request.parent, *request.inspirations, *request.lineage, *([] if request.best is None else [request.best])]
    values = [scored.evaluation.objective for scored in shown]
    known = request.task.objective.best_known
    return [value for value in [*values, known] if value is not None]


def _better(metric: Metric) -> str:
    if metric.direction is None:
        return ""
    return "more is better" if metric.direction.oriented(1) > 0 else "less is better"


def feedback(evaluation: Evaluation, limit: int) -> str:
    """Fences what was said about a program; nothing when nothing was said."""
    return fenced(evaluation.feedback, limit) if evaluation.feedback.strip() else ""


def in_order(files: Files, wanted: Iterable[str]) -> Files:
    """Orders files as a task does, the one with the entry points first."""
    known = [path for path in wanted if path in files]
    return {path: files[path] for path in (*known, *(path for path in files if path not in known))}


def only_region(files: Files) -> str | None:
    """Returns the text that may change where a program is one file with one pair of markers, else None."""
    if len(files) != 1 or not marked(files):
        return None
    [(path, regions)] = mutable_regions(files).items()
    return files[path][regions[0].start : regions[0].end] if len(regions) == 1 else None


def marked(files: Files) -> bool:
    """Whether only text between markers may change."""
    return any(
        len(regions) != 1 or (regions[0].start, regions[0].end) != (0, len(files[path]))
        for path, regions in mutable_regions(files).items()
    )


def changed_lines(diff: str) -> str:
    """Counts the added and removed lines of a unified difference."""
    signs = [found[1] for found in _CHANGED.finditer(diff)]
    return f"+{signs.count('+')} -{signs.count('-')} lines"
