"""Finds lines that stand for code which a model left out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from evolve.notation.refusal import EditRefused, shortened

_COMMENT = r"[ \t]*(?:#|//|/\*|--|%|;|<!--|\(\*)+[ \t]*"
_DOTS = r"(?:\.{3,}|…)"
_LEFT_OUT = (
    r"rest|remain\w*|existing|unchanged|omitted|same|identical|as before|previous code|above code|original|implementation|"
    r"your code|code here|other (?:code|functions|methods|classes|imports)"
)
_NOUN = r"(?:code|file|program|function|class|method|implementation|script|module|body|logic|imports?|definitions?)s?"
_STAYS = r"(?:is |are |stays? |remains? |kept )?(?:unchanged|the same|omitted)\W*(?:as before\W*)?$"
# Dots and a word for leaving out, dots alone, or the few phrases that mean nothing else without dots. `# 1, 2, ...` is a
# remark, and so is `# the rest of the circles`.
_ELIDED = re.compile(
    rf"{_COMMENT}(?:{_DOTS}\W*$|(?=.*{_DOTS})(?=.*\b(?:{_LEFT_OUT})\b)"
    rf"|\W*(?:the )?(?:rest|remainder) of (?:the |this |your )?{_NOUN}\b"
    rf"|\W*(?:(?:existing|remaining|same|other|previous) {_NOUN} )?{_STAYS}"
    r"|\W*(?:same as before|existing code(?: here)?|no changes?(?: here)?)\W*$)",
    re.IGNORECASE,
)
#: Elisions are short, and the pattern's time grows with the square of what it reads.
_LONGEST = 120
_MENTIONS = re.compile(rf"{_DOTS}|rest|remain|unchanged|same|omitted|existing|no change", re.IGNORECASE)


def refuse_elision(new: Iterable[str], known: Collection[str], where: str) -> None:
    """Checks that no line stands for code that was left out.

    Args:
        new: The lines to look at.
        known: Lines of the parent without their blanks: what stood there before is no elision.
        where: What the lines are, for the message.

    Raises:
        EditRefused: If one does.
    """
    for line in new:
        # What is cheap first: most lines are known, and nearly none gets to the long pattern.
        if len(line) <= _LONGEST and line.strip() not in known and _MENTIONS.search(line) and _ELIDED.match(line):
            raise EditRefused(
                f"{where} leaves code out: the line {shortened(line.strip())} stands for lines that are not there. "
                "Write every line, also those that stay as they are"
            )
