"""Source text of other languages than Python, as the tuning of numbers sees it: where its numbers stand."""

from __future__ import annotations

import re
from functools import cached_property

from evolve.edits import Region
from evolve.mutators.languages import Syntax, tokens
from evolve.mutators.numerals import LARGEST, STRUCTURAL_WEIGHT, Numeral, weight_of

#: A minus sign after one of these, or one of the words, belongs to the number behind it.
_BEFORE_SIGN = frozenset("(,=[{:?<>*/%&|^!~;+-")
_OPENING = frozenset("([{,:=")
_WORDS_BEFORE_SIGN = frozenset(("return", "case", "in", "of", "to", "then", "else", "and", "or", "not"))
#: Next to one of these a negative number is put in brackets.
_BRACKETED_AFTER = frozenset("+-*/%^&|~!")
_SIGN = re.compile(r"-[ \t]*$")
_LAST_WORD = re.compile(r"[^\W\d]\w*$")


class PlainSource:
    """One file in another language, with the regions of it that may change."""

    def __init__(self, path: str, text: str, regions: tuple[Region, ...], syntax: Syntax) -> None:
        """Looks at nothing yet.

        Args:
            path: The file's.
            text: All of it.
            regions: What may change.
            syntax: How it is written.
        """
        self.path = path
        self.text = text
        self.regions = regions
        self._syntax = syntax

    @cached_property
    def numerals(self) -> tuple[Numeral, ...]:
        """The numbers inside the regions that can be tuned, in text order."""
        found = (self._numeral(match) for match in tokens(self._syntax).finditer(self.text) if match["number"])
        return tuple(numeral for numeral in found if numeral is not None and self._inside(numeral))

    def _inside(self, numeral: Numeral) -> bool:
        return any(region.start <= numeral.start and numeral.end <= region.end for region in self.regions)

    def _numeral(self, match: re.Match[str]) -> Numeral | None:
        start, end = match.span("number")
        digits = match["number"].replace("'", "").replace("_", "")
        before, after = self.text[:start], self.text[end : end + 2]
        tuple_index = before.endswith(".") and not before.endswith("..")
        old_octal = len(digits) > 1 and digits.isdigit() and digits[0] == "0"
        version = after[:1] == "." and after[1:2].isdigit()
        if tuple_index or old_octal or version:
            return None
        is_int = digits.isdigit()
        value: int | float = int(digits) if is_int else float(digits)
        if abs(value) > LARGEST:
            return None
        sign = self._sign(start)
        if sign is not None:
            start, value = sign, -value
        structural = is_int and self._before(start)[-1:] == "["
        weight = STRUCTURAL_WEIGHT if structural else weight_of(value)
        return Numeral(start, end, value, weight, self._syntax.bracketed and self._bracketed(start, end))

    def _before(self, at: int) -> str:
        """The end of the line before a place, without the white space next to it."""
        return self.text[self.text.rfind("\n", 0, at) + 1 : at].rstrip(" \t")

    def _sign(self, start: int) -> int | None:
        """Where the minus sign of a number stands; None if it has none."""
        line = self.text[self.text.rfind("\n", 0, start) + 1 : start]
        found = _SIGN.search(line)
        if found is None:
            return None
        at = start - len(line) + found.start()
        spaced = line[found.start() - 1 : found.start()] in (" ", "\t", "")
        before = line[: found.start()].rstrip(" \t")
        if not self._syntax.bracketed:
            return at if (spaced or before[-1:] in _OPENING) and found.end() - found.start() == 1 else None
        if before.endswith("-") and not spaced:
            return None  # a decrement
        word = _LAST_WORD.search(before)
        ends = not before or before[-1] in _BEFORE_SIGN or (word is not None and word[0] in _WORDS_BEFORE_SIGN)
        return at if ends else None

    def _bracketed(self, start: int, end: int) -> bool:
        """Whether a minus sign would run into what stands beside the number."""
        before, after = self._before(start)[-1:], self.text[end : end + 4].lstrip(" \t")
        return before in _BRACKETED_AFTER or after.startswith(("**", "^", "."))
