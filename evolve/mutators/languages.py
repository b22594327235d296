"""How other languages than Python write comments, strings and numbers: as much as it takes to find the numbers of a program.

A tokenizer per family of languages, told by the file's ending: text in comments and strings is skipped, and so are numbers that
are parts of names, in other bases than ten, or indices of tuples. It need not be right about every corner of every language:
what comes of it is built and run like any other child.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class Syntax:
    """What a family of languages has in common.

    Attributes:
        skipped: Pattern of comments, strings and other text whose numbers are no numbers.
        bracketed: Whether an expression may stand in brackets, so that a minus sign can be kept apart from what is before.
        comment: A comment on a line of its own, with braces for its text; empty where there are none.
    """

    skipped: str
    bracketed: bool = True
    comment: str = "# {}"


_QUOTED = r'"(?:\\[\s\S]|[^"\\\n])*"|' + r"'(?:\\[\s\S]|[^'\\\n])*'"
_DOUBLE_QUOTED = r'"(?:\\[\s\S]|[^"\\])*"'
_SLASHES = r"//[^\n]*|/\*[\s\S]*?\*/"
_RAW = r'R"(?P<delimiter>[^()\\\s]{0,16})\([\s\S]*?\)(?P=delimiter)"'
# Directives but #define, whose numbers are as good as any.
_DIRECTIVE = r"(?m:^[ \t]*\#(?![ \t]*define\b)[^\n]*)"
_LETTER = r"(?<![\w)\]}'])'(?:\\.[^'\n]*|[^'\\\n])'"

_C = Syntax("|".join((_SLASHES, _RAW, _DIRECTIVE, _DOUBLE_QUOTED, _LETTER)), comment="// {}")
_SCRIPT = Syntax("|".join((_SLASHES, _QUOTED, r"`(?:\\[\s\S]|[^`\\])*`")), comment="// {}")
_HASH = Syntax("|".join((r"\#=[\s\S]*?=\#", r"\#[^\n]*", _QUOTED)))
_DASHES = Syntax("|".join((r"--\[\[[\s\S]*?\]\]|\{-[\s\S]*?-\}|/\*[\s\S]*?\*/", r"--[^\n]*", _QUOTED)), comment="-- {}")
_PERCENT = Syntax("|".join((r"%\{[\s\S]*?%\}", r"%[^\n]*", _QUOTED)), comment="% {}")
_SEMICOLON = Syntax("|".join((r"\#\|[\s\S]*?\|\#", r";[^\n]*", _DOUBLE_QUOTED)), bracketed=False, comment="; {}")
_EXCLAMATION = Syntax("|".join((r"![^\n]*", _QUOTED)), comment="! {}")
_MARKUP = Syntax("|".join((r"<!--[\s\S]*?-->", _DOUBLE_QUOTED)), bracketed=False, comment="<!-- {} -->")
_ML = Syntax("|".join((r"\(\*[\s\S]*?\*\)", _DOUBLE_QUOTED, _LETTER)), comment="(* {} *)")
_DATA = Syntax(_DOUBLE_QUOTED, bracketed=False, comment="")

_ENDINGS = {
    _C: "c h cc cpp cxx c++ hh hpp hxx cu cuh m mm cs java kt scala rs swift d zig v sv glsl cl ispc",
    _SCRIPT: "js mjs cjs jsx ts mts tsx go dart php css",
    _HASH: "sh bash rb jl r R pl pm nim ex exs cr tcl awk toml yaml yml",
    _DASHES: "lua hs elm sql adb ads vhd vhdl",
    _PERCENT: "erl hrl mat tex",
    _SEMICOLON: "lisp lsp cl el clj cljs scm rkt ss asm s ini",
    _EXCLAMATION: "f f90 f95 f03 f08 for",
    _MARKUP: "xml svg html",
    _ML: "ml mli fs fsx sml pas",
    _DATA: "json",
}
_BY_ENDING = {ending: syntax for syntax, endings in reversed(_ENDINGS.items()) for ending in endings.split()}

#: A number in base ten, with an exponent or not; what follows it at once (``f``, ``ULL``, ``_f64``, ``n``) is left alone.
_NUMBER = r"""
    (?P<number>
        (?:\d(?:['_]?\d)*(?:\.(?![.\w])|\.(?=\d)\d(?:['_]?\d)*)?|(?<![\w)\].])\.\d(?:['_]?\d)*)
        (?:[eE][+-]?\d+)?
    )
"""


def syntax_of(path: str) -> Syntax | None:
    """Tells a file's syntax from its ending; None for Python, which is parsed, and for what is not known."""
    return _BY_ENDING.get(PurePosixPath(path).suffix.removeprefix("."))


def comment(path: str, text: str) -> str:
    """Writes a text as a comment on a line of its own; empty where the file's ending says nothing of how."""
    if path.endswith(".py"):
        return f"# {text}"
    syntax = syntax_of(path)
    return syntax.comment.format(text) if syntax is not None and syntax.comment else ""


@cache
def tokens(syntax: Syntax) -> re.Pattern[str]:
    """The pattern whose matches are what is skipped, words, and numbers (in the group ``number``)."""
    return re.compile(rf"{syntax.skipped}|0[xXoObB][\w']*|[^\W\d]\w*|{_NUMBER}", re.VERBOSE)
