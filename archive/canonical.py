"""Source as tokens in which the names a program gives its own variables do not count, for embeddings.

A renamed copy differs from its original in every line that uses a name; a tuned number differs in one token. No distance between
the texts can tell the first from the second, so names are taken out of the text before anything is measured: what a program
binds itself is numbered in the order in which it first appears.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import PurePosixPath

from evolve.archive.tokens import python_tokens

_WORD = re.compile(r"[^\W\d][\w$]*")
_TOKEN = re.compile(
    r"""(?P<skipped>//[^\n]*|/\*[\s\S]*?\*/)
    | "(?:\\[\s\S]|[^"\\\n])*" | '(?:\\[\s\S]|[^'\\\n])*' | `(?:\\[\s\S]|[^`\\])*`
    | [^\W\d][\w$]* | \d[\w.]* | \.\d[\w.]* | [=!<>+\-*/%&|^]=+ | => | -> | \+\+ | -- | && | \|\| | [^\w\s]""",
    re.VERBOSE,
)
_HASH_TOKEN = re.compile(_TOKEN.pattern.replace(r"//[^\n]*|/\*[\s\S]*?\*/", r"\#[^\n]*", 1), re.VERBOSE)
#: Endings of languages whose comments begin with ``#``; in all others that are not Python ``//`` and ``/* */`` are skipped.
_HASH = frozenset((".sh", ".bash", ".rb", ".jl", ".r", ".R", ".pl", ".toml", ".yaml", ".yml", ".nim", ".ex", ".exs"))

# Python: parameters, targets of loops, comprehensions and `as`, and what stands before `=` at the start of a statement. The tokens
# are joined by spaces, so that a word is a word and brackets stand alone.
_PYTHON_BINDERS = (
    re.compile(r" (?:def \w+ \(([^\n]*?)\) (?::|->)|lambda ([^:\n]*) :|for ([^\n]*?) in |as (\w+))"),
    re.compile(r"^ ?[<>;]? ?([\w,*\[\] ]+)(?: : [^\n=]+)? (?:[+\-*/%@&|^]|//|\*\*|<<|>>)?= ", re.MULTILINE),
)
_WALRUS = re.compile(r"(\w+) :=")
# Others: what is declared, parameters of functions and arrows, and what stands before `=`.
_OTHER_BINDERS = (
    re.compile(r" (?:let|const|var|auto) ([\w$,\[\]{} ]+?) (?:=|;|of |in |:)"),
    re.compile(r" function (?:[\w$]+ )?\(([^()]*)\)"),
    re.compile(r"\(([\w$, ]*)\) =>"),
    re.compile(r"(?<!\.) ([\w$]+) (?:=>|:=|[+\-*/%]?= )"),
)
_IMPORTED = re.compile(r" import ([^\n]*)")
_SUBSCRIPT = re.compile(r"[\w)\]] \[[^\[\]]*\]|[\w)\]] \([^()]*\)|\. \w+")
_PARTING = frozenset(("\n>", "\n<", "def"))
#: Words that stand in binding places and are no variables.
_KEYWORDS = frozenset({
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except", "False",
    "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "None", "nonlocal", "not", "or", "pass", "raise",
    "return", "True", "try", "while", "with", "yield", "self", "cls", "this", "let", "const", "var", "function", "new",
})  # fmt: skip


def canonical_tokens(path: str, text: str) -> list[str]:
    """Splits a source into tokens, without comments and layout, its own variables numbered.

    Which names are a program's own is read from the tokens, not from a syntax tree: they need not parse.
    Functions and classes keep their names, as do attributes; a name that is missed counts as it is written. Python's are numbered
    function by function, so that a further variable in one does not renumber the others.

    Args:
        path: Its ending tells the language.
        text: The source, or parts of it.
    """
    if path.endswith(".py") and (tokens := python_tokens(text)) is not None:
        return _python(tokens)
    pattern = _HASH_TOKEN if path.endswith(".py") or PurePosixPath(path).suffix in _HASH else _TOKEN
    tokens = [match[0] for match in pattern.finditer(text) if match["skipped"] is None]
    return _renamed(tokens, _bound(tokens, _OTHER_BINDERS), {}, "$")


def _python(tokens: Sequence[str]) -> list[str]:
    parts = list(_parts(tokens))
    imported = {word for found in _IMPORTED.findall(" ".join(["", *tokens])) for word in _WORD.findall(found)}
    binders = (*_PYTHON_BINDERS, _WALRUS) if ":=" in tokens else _PYTHON_BINDERS
    outside = [token for part, is_function in parts if not is_function for token in part]
    shared = _bound(outside, binders) - imported
    numbers: dict[str, str] = {}
    renamed: list[str] = []
    for part, is_function in parts:
        own = _bound(part, binders) - imported if is_function else set()
        renamed += _renamed(_renamed(part, own, {}, "$"), shared, numbers, "$$")
    return renamed


def _parts(tokens: Sequence[str]) -> Iterator[tuple[Sequence[str], bool]]:
    """Splits tokens into functions and what is around them, in order; a function inside another is part of it."""
    depth, start, opened = 0, 0, -1
    for index in [index for index, token in enumerate(tokens) if token in _PARTING]:
        token = tokens[index]
        depth += {"\n>": 1, "\n<": -1}.get(token, 0)
        if opened >= 0 and depth <= opened and token != "\n>":
            yield tokens[start:index], True
            start, opened = index, -1
        if token == "def" and opened < 0:
            yield tokens[start:index], False
            start, opened = index, depth
    yield tokens[start:], opened >= 0


def _bound(tokens: Sequence[str], binders: Iterable[re.Pattern[str]]) -> set[str]:
    """Collects the words in binding places: subscripts and attributes in a target are used there, not bound."""
    joined = " ".join(["", *tokens, ""])
    places = [place for binder in binders for match in binder.finditer(joined) for place in match.groups() if place]
    found = " ".join(_SUBSCRIPT.sub(" ", place) if "[" in place or "." in place else place for place in places)
    return set(_WORD.findall(found)) - _KEYWORDS


def _renamed(tokens: Sequence[str], names: Set[str], numbers: dict[str, str], prefix: str) -> list[str]:
    """Numbers names in the order of their first appearance; what follows a dot is an attribute and stays."""
    if not names:
        return list(tokens)
    renamed: list[str] = []
    before = ""
    for token in tokens:
        if token in names and before != ".":
            renamed.append(numbers.setdefault(token, f"{prefix}{len(numbers)}"))
        else:
            renamed.append(token)
        before = token
    return renamed
