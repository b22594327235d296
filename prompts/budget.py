"""What a prompt shows in full, and what is left out first when it would be too long."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from evolve.prompts.config import PromptConfig


@dataclass(frozen=True, slots=True)
class Detail:
    """How much of what a request holds is shown.

    Attributes:
        lineage: Whether the parent's ancestors are listed.
        inspirations: Of how many inspirations anything is shown.
        sources: Of how many of them the source is shown.
        failures: How many failed children of the parent are shown.
        failure_diffs: Whether it is shown what they changed.
        failure_chars: Of the feedback to each of them.
        feedback_chars: Of the feedback to the parent, and to the child that is to be mended.
        metrics: Whether numbers besides the objective are shown.
        replies: How many earlier replies to this same request are repeated, the latest ones.
        reply_chars: Of each earlier reply.
        complaint_chars: Of each message about an earlier reply.
        advice: How many pieces of advice are given, the latest ones.
        notes: Whether the notes on the run are given.
    """

    lineage: bool
    inspirations: int
    sources: int
    failures: int
    failure_diffs: bool
    failure_chars: int
    feedback_chars: int
    metrics: bool
    replies: int
    reply_chars: int
    complaint_chars: int
    advice: int
    notes: bool


#: More than any request holds.
_ALL = 1_000_000


def full_detail(config: PromptConfig) -> Detail:
    """Returns what a prompt shows when there is room."""
    return Detail(
        lineage=True,
        inspirations=_ALL,
        sources=_ALL,
        failures=config.n_failures,
        failure_diffs=True,
        failure_chars=config.feedback_chars // 2,
        feedback_chars=config.feedback_chars,
        metrics=True,
        replies=_ALL,
        reply_chars=6000,  # a whole program of 150 lines
        complaint_chars=1500,
        advice=_ALL,
        notes=True,
    )


def brief_detail(config: PromptConfig) -> Detail:
    """Returns what a prompt for a small model shows: reading is slow for it, and much text leads it astray."""
    return Detail(
        lineage=False,
        inspirations=1,
        sources=0,
        failures=min(1, config.n_failures),
        failure_diffs=False,
        failure_chars=min(200, config.feedback_chars // 2),
        feedback_chars=min(400, config.feedback_chars),
        metrics=False,
        replies=0,  # it writes again what it reads of its own
        reply_chars=1200,
        complaint_chars=400,
        advice=1,
        notes=False,
    )


class Cut(NamedTuple):
    """One way to make a prompt shorter.

    Attributes:
        name: How the prompt itself and `Prompt.dropped` call what is left out.
        reason: Why it goes before those that follow.
        apply: Lowers the detail; what is lower already stays.
    """

    name: str
    reason: str
    apply: Callable[[Detail], Detail]


def _at_most(**most: int) -> Callable[[Detail], Detail]:
    """Makes a function that lowers numbers of a detail; False is 0."""

    def apply(detail: Detail) -> Detail:
        lowered = {name: type(getattr(detail, name))(min(getattr(detail, name), limit)) for name, limit in most.items()}
        return dataclasses.replace(detail, **lowered)

    return apply


#: From what is missed least to what is missed most. The task, the objective, the answer's format, the parent and the latest
#: complaint are never left out; neither is the program to combine with or to mend.
CUTS: tuple[Cut, ...] = (
    Cut("the ancestors", "the parent holds what came of them", _at_most(lineage=0)),
    Cut("the third inspiration and further ones", "later ones score less and repeat the first", _at_most(inspirations=2)),
    Cut("all failed children but the latest", "one shows what to avoid; more repeat it", _at_most(failures=1)),
    Cut("the notes on the run", "the program's own record is closer to it", _at_most(notes=0)),
    Cut("source of all inspirations but the first", "one other idea is enough to read in one step", _at_most(sources=1)),
    Cut("the middle of the failed child's feedback", "the error stands at its end", _at_most(failure_chars=400)),
    Cut("what the failed child changed", "the error often says enough", _at_most(failure_diffs=0)),
    Cut("the middle of the feedback", "its ends say most", _at_most(feedback_chars=800)),
    Cut("the source of the inspirations", "scores still say what is possible", _at_most(sources=0)),
    Cut("the middle of earlier replies", "the complaints say what was wrong", _at_most(reply_chars=600)),
    Cut("all earlier replies but the latest", "its complaint is the one to act on", _at_most(replies=1)),
    Cut("the failed child", "the parent's feedback is worth more", _at_most(failures=0)),
    Cut("the inspirations", "without their source they are a score", _at_most(inspirations=0)),
    Cut("numbers besides the objective", "only the objective counts", _at_most(metrics=0)),
    Cut("older advice", "people correct themselves", _at_most(advice=1)),
    Cut("most of the feedback", "the end of an error can be all that helps", _at_most(feedback_chars=200, complaint_chars=400)),
    Cut("the latest reply", "its complaint stays", _at_most(replies=0)),
)
