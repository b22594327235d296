"""Which templates make up a prompt, in which order, and what each of them is filled with.

The order is from what never changes in a run to what changes at every step: servers keep what they have read of a prompt up to
the first difference, so that a constant beginning is read, and paid for, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evolve.diffing import unified
from evolve.llm.specs import DEFAULT_PROMPT, EditKind
from evolve.mutation import MutationRequest, Scored
from evolve.program import Direction, Files, Objective, Task
from evolve.prompts.budget import Detail
from evolve.prompts.fencing import block, fenced, shortened, visible
from evolve.prompts.precision import Precision, exact
from evolve.prompts.views import MENDABLE, OUTCOMES, ChangeView, Diff, Views, difference, feedback, in_order, marked
from evolve.rendering import render_files

#: Of one piece of advice: a page of text.
_ADVICE_CHARS = 2000
#: Of the notes on a run.
_NOTES_CHARS = 1200
#: Of a change that notes are written from.
_CHANGE_CHARS = 1500


class Part(NamedTuple):
    """A piece of a prompt: a template and what fills it."""

    template: str
    context: Mapping[str, object]


def system_template(variant: str) -> str:
    """Names the template of a variant of the system text."""
    return "system.md" if variant == DEFAULT_PROMPT else f"variants/{variant}.md"


def mendable(request: MutationRequest) -> Scored | None:
    """Returns the latest failed child that ran and failed by its own fault."""
    return next((failure for failure in request.failures if failure.evaluation.outcome in MENDABLE), None)


def effective_kind(request: MutationRequest, kind: EditKind) -> EditKind:
    """Returns what can be asked.

    Combining needs an inspiration, mending a failed child, and neither is a new approach; else the parent is rewritten whole.
    """
    if request.new_approach and kind in (EditKind.CROSS, EditKind.REPAIR):
        return EditKind.FULL
    if kind is EditKind.CROSS and not request.inspirations:
        return EditKind.FULL
    if kind is EditKind.REPAIR and mendable(request) is None:
        return EditKind.FULL
    return kind


class Parts:
    """Chooses and fills the parts of the prompt for one request."""

    def __init__(
        self,
        request: MutationRequest,
        kind: EditKind,
        *,
        brief: bool,
        in_folder: bool = False,
        variant: str = DEFAULT_PROMPT,
        diff: Diff = difference,
    ) -> None:
        """Prepares the parts.

        Args:
            request: What is asked.
            kind: What the model is to write; see `effective_kind`.
            brief: Whether the prompt is for a small model.
            in_folder: Whether the program lies in the folder where the model works, to be edited there.
            variant: Of the system text.
            diff: Compares programs.
        """
        self._system = system_template(variant)
        self._request = request
        self._kind = kind
        self._in_folder = in_folder
        self._views = Views(request, brief=brief, whole=kind is EditKind.DIFF, diff=diff)
        self._mended = mendable(request) if kind is EditKind.REPAIR else None
        files = request.parent.program.files
        # A small model with two programs to read is led astray by what else is said of them.
        self._terse = brief and kind in (EditKind.CROSS, EditKind.REPAIR)
        self._shared: dict[str, object] = {
            "brief": brief,
            "kind": kind.value,
            "in_folder": in_folder,
            "marked": marked(files),
            "one_region": self._views.only_region is not None,
            "paths": tuple(in_order(files, request.task.files)),
        }
        self._shared |= _goal(request.task.objective)

    def constant(self) -> list[Part]:
        """Lists the parts that are the same at every step with the same kind of edit."""
        request = self._request
        objective = request.task.objective
        best_known = "" if objective.best_known is None else exact(objective.best_known)
        parts = [
            self._part(self._system),
            self._part("task.md", background=request.task.background.strip(), summary=request.task.summary.strip()),
            self._part("objective.md", best_known=best_known, source=objective.best_known_source),
        ]
        surroundings = self._views.surroundings()
        if surroundings:
            parts.append(self._part("surroundings.md", files=surroundings))
        return [*parts, self._part(self._format())]

    def changing(self, detail: Detail) -> list[Part]:
        """Lists the parts that say what this step starts from, what changes least first."""
        request, views = self._request, self._views
        parts = []
        if advice := request.advice[-detail.advice :] if detail.advice else ():
            parts.append(self._part("advice.md", advice=tuple(shortened(visible(text).strip(), _ADVICE_CHARS) for text in advice)))
        if detail.notes and request.notes:
            parts.append(self._part("notes.md", notes=fenced(request.notes, _NOTES_CHARS)))
        if detail.lineage and request.lineage:
            parts.append(self._part("lineage.md", ancestors=views.lineage()))
        if inspirations := views.inspirations(detail, cross=self._kind is EditKind.CROSS):
            parts.append(self._part("inspirations.md", inspirations=inspirations))
        parts.append(self._part("parent.md", parent=views.parent(detail)))
        if not self._terse:
            parts += self._outcomes(detail)
        if request.new_approach:
            parts.append(self._part("new_approach.md", tried=views.tried(detail)))
        if self._mended is not None:
            parts.append(self._part("repair.md", failed=views.mended(self._mended, detail)))
        return parts

    def _outcomes(self, detail: Detail) -> list[Part]:
        """Lists the parts about what was said of the parent and its children."""
        parts = []
        if text := feedback(self._request.parent.evaluation, detail.feedback_chars):
            parts.append(self._part("feedback.md", feedback=text))
        if failures := self._views.failures(detail, self._mended):
            parts.append(self._part("failures.md", failures=failures))
        return parts

    def ask(self, direction: str = "") -> Part:
        """Returns the last part of a request; ``direction`` is where to look, in a sentence."""
        return self._part("ask.md", direction=direction)

    def directions(self) -> Part:
        """Returns the directions that a model may be sent in, one of which a request is given: a line each."""
        return self._part("directions.md")

    def left_out(self, names: tuple[str, ...]) -> Part:
        """Returns the line that says what had no room."""
        return self._part("left_out.md", names=names)

    def retry(self, why: str, *, reply_shown: bool, reply_shortened: bool) -> Part:
        """Returns what is said about an earlier reply; ``why`` is fenced."""
        return self._part("retry.md", why=why, reply_shown=reply_shown, reply_shortened=reply_shortened)

    def _format(self) -> str:
        if self._in_folder:
            return "format_folder.md"
        if self._views.only_region is not None:
            return "format_region.md"
        return f"format_{self._kind.value}.md"

    def _part(self, template: str, **context: object) -> Part:
        return Part(template, {**self._shared, **context})


def _goal(objective: Objective) -> dict[str, object]:
    more = objective.direction is Direction.MAXIMIZE
    return {"metric": objective.metric, "goal": "higher" if more else "lower"}


def initial_retry(
    objective: Objective, why: str, *, paths: Sequence[str], brief: bool, reply_shown: bool, reply_shortened: bool
) -> Part:
    """Returns what is said about an earlier reply to `initial`, to a template that is given the same names as for any other.

    Args:
        objective: What counts.
        why: What was wrong, fenced.
        paths: The files that are wanted.
        brief: Whether the prompt is for a small model.
        reply_shown: Whether the reply is repeated before.
        reply_shortened: Whether its middle is left out there.
    """
    shared = {
        **_goal(objective),
        "brief": brief,
        "kind": EditKind.FULL.value,
        "marked": True,
        "one_region": False,
        "in_folder": False,
    }
    more = {"paths": tuple(paths), "why": why, "reply_shown": reply_shown, "reply_shortened": reply_shortened}
    return Part("retry.md", {**shared, **more})


def note(task: Task, counted: str, best: Scored | None, changes: Sequence[tuple[Scored, Scored]]) -> Part:
    """Returns the part that asks for notes on a run.

    Args:
        task: What is being solved.
        counted: What was counted; a model may have written part of it.
        best: The best program; None leaves it out.
        changes: Pairs of parent and child.
    """
    scores = [scored.evaluation.objective for pair in changes for scored in pair]
    number = Precision([score for score in [*scores, best.evaluation.objective if best else None] if score is not None])
    context = {
        **_goal(task.objective),
        "background": task.background.strip() or task.summary.strip(),
        "counted": fenced(counted, _NOTES_CHARS),
        "score": _scored(best, number) if best else "",
        "best": render_files(in_order(best.program.files, task.files)).rstrip("\n") if best else "",
        "changes": tuple(_change(parent, child, number) for parent, child in changes),
    }
    return Part("note.md", context)


def _change(parent: Scored, child: Scored, number: Precision) -> ChangeView:
    text = unified(parent.program.files, child.program.files, context=1)
    came_of_it = f"from {_scored(parent, number)} to {_scored(child, number)}" if child.evaluation.ok else _scored(child, number)
    return ChangeView(came_of_it, block(shortened(visible(text), _CHANGE_CHARS), "diff"))


def judge(known: Files, child: Files, context: int | None) -> Part:
    """Returns the part that asks whether a child does the same as a known program.

    Nothing is cut: of half a difference nobody could say that it is none.

    Args:
        known: The known source.
        child: The new one, its files in the same order.
        context: None shows the known source whole, and the new one or what differs, whichever is shorter; a number shows what
            differs alone, with so many unchanged lines around each change.
    """
    diff = block(visible(unified(known, child, context=3 if context is None else context)), "diff")
    if context is not None:
        return Part("judge.md", {"known": "", "child": "", "diff": diff})
    before, after = (render_files({path: visible(text) for path, text in files.items()}).rstrip("\n") for files in (known, child))
    shorter = len(diff) < len(after)
    return Part("judge.md", {"known": before, "child": "" if shorter else after, "diff": diff if shorter else ""})


def _scored(scored: Scored, number: Precision) -> str:
    objective = scored.evaluation.objective
    return OUTCOMES[scored.evaluation.outcome] if objective is None else number(objective)


def initial(background: str, objective: Objective, files_hint: str) -> Part:
    """Returns the part that asks for the first program of a task.

    Args:
        background: What is to be solved, and how it is scored.
        objective: What counts.
        files_hint: Which files and functions are wanted.
    """
    best_known = "" if objective.best_known is None else exact(objective.best_known)
    context = {**_goal(objective), "background": background.strip(), "files_hint": files_hint.strip(), "best_known": best_known}
    return Part("initial.md", context)
