"""Source text as the tokens that count: what identity and embeddings of programs are made from."""

from __future__ import annotations

import re

# One match is one token; what is skipped before it does not count. A match with an empty group is text that is no token.
# Newlines take the blank lines, the comments and the indentation that follow along.
_TOKEN = re.compile(
    r"""(?:[ \t\f]|\\\n|\#[^\n]*)*
    (?:(
        [^\W\d]\w*+(?!["'])
      | \n(?:[ \t\f]*(?:\#[^\n]*)?\n)*[ \t\f]*
      | [rRbBuUfFtT]{0,2}(?:
            \"{3}[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*\"{3}
          | '{3}[^'\\]*(?:(?:\\[\s\S]|'(?!''))[^'\\]*)*'{3}
          | ""(?!") | "(?!")[^"\\\n]*(?:\\[\s\S][^"\\\n]*)*"
          | \'\'(?!') | '(?!')[^'\\\n]*(?:\\[\s\S][^'\\\n]*)*'
        )
      | [^\W\d]\w*
      | 0[xXoObB]\w+
      | (?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?[jJ]?
      | \*\*=? | //=? | <<=? | >>=? | -> | := | \.\.\. | [<>=!+\-*/%&|^@]=
      | [+\-*/%&|^~@<>=.,:;()\[\]{}]
    ) | [\s\S])""",
    re.VERBOSE,
)
_SPECIAL = frozenset("\n0123456789.()[]{}\"'")
_CODING = re.compile(r"[^\n]*\n?[^\n]*coding[:=]")


def python_tokens(text: str) -> list[str] | None:
    """Reduces Python source to the tokens that count; None when it cannot be read so.

    Text that does not parse may well pass: the same tokens fail to parse in the same way.
    """
    text = text.replace("\r\n", "\n").rstrip()
    # A coding line changes what the text means, a lone \r ends a line to Python alone, \0 parts the tokens here.
    if "\0" in text or "\r" in text or _CODING.match(text):
        return None
    reader = _Reader(keep_docstrings="__doc__" in text)
    return reader.tokens if reader.read(_TOKEN.findall(f"\n{text}\n")) else None


class _Reader:
    """Builds the list of tokens that count, line by line."""

    def __init__(self, *, keep_docstrings: bool) -> None:
        self.tokens: list[str] = []
        self._keep_docstrings = keep_docstrings
        self._indents = [0]
        self._depth = 0
        self._line_start = 0
        self._opens_block = True

    def read(self, raw: list[str]) -> bool:
        """Takes the matches of `_TOKEN`; False when something among them cannot be read."""
        tokens = self.tokens
        for token in raw:
            if not token:
                return False
            if token[0] not in _SPECIAL and token[-1] not in "\"'":
                tokens.append(token)
                continue
            normal = self._newline(token) if token[0] == "\n" else self._special(token)
            if normal is None:
                return False
            if normal:
                tokens.append(normal)
        return self._depth == 0

    def _special(self, token: str) -> str | None:
        """Normalises a bracket, a number or a string."""
        if token in "([{":
            self._depth += 1
        elif token in ")]}":
            self._depth -= 1
            return token if self._depth >= 0 else None
        elif token[-1] in "\"'":
            return _string(token)
        elif token not in (".", "..."):
            return _number(token)
        return token

    def _newline(self, token: str) -> str | None:
        """Ends a logical line and opens or closes blocks by the next one's indentation."""
        if self._depth:
            return ""
        line = self.tokens[self._line_start :]
        if line and self._opens_block and not self._keep_docstrings and all(_is_plain_string(part) for part in line):
            del self.tokens[self._line_start :]
        elif line:
            self.tokens.append("\n")
        indentation = token[token.rindex("\n") + 1 :]
        width = len(indentation)
        # A tab's width is a matter of what surrounds it.
        if indentation.strip(" "):
            return None
        self._opens_block = width > self._indents[-1] or (not line and not self._line_start)
        if width > self._indents[-1]:
            self._indents.append(width)
            self.tokens.append("\n>")
        while width < self._indents[-1]:
            self._indents.pop()
            self.tokens.append("\n<")
        self._line_start = len(self.tokens)
        return "" if width == self._indents[-1] else None


def _string_prefix(token: str) -> str:
    return token[: len(token) - len(token.lstrip("rRbBuUfFtT"))].lower()


def _is_plain_string(token: str) -> bool:
    return token[-1] in "\"'" and not set("bft") & set(_string_prefix(token))


def _string(token: str) -> str | None:
    """Gives plain strings one kind of quotes; None for a formatted string whose end is in doubt."""
    prefix = _string_prefix(token)
    if "f" in prefix or "t" in prefix:
        # Since Python 3.12 quotes may nest: a match that ended too soon ended within a replacement field.
        return token if token.count("{") == token.count("}") and "}}" not in token else None
    if not prefix and token[0] == "'" and token[1] != "'" and '"' not in token and "\\" not in token:
        return f'"{token[1:-1]}"'
    return token


def _number(token: str) -> str | None:
    """Spells a number in one way; None for what is not a valid number."""
    try:
        if token[:2].lower() in ("0x", "0o", "0b") or token.replace("_", "").isdecimal():
            return str(int(token, 0))
        if token[-1] in "jJ":
            return repr(complex(token))
        return repr(float(token))
    except ValueError:
        return None
