"""Whether a child is new: its identity up to layout, and its distance to known programs.

Two programs are the same when their normalised tokens are; then the second need not be evaluated. They are near when the
cosine of their embeddings is high.
"""

from __future__ import annotations

import bisect
import hashlib
import math
import re
from dataclasses import dataclass

import numpy as np

from evolve.archive.embeddings import pack, unpack
from evolve.archive.records import Screen, Verdict
from evolve.program import Files

# Fingerprints


def fingerprint(files: Files) -> str:
    """Identifies a source up to comments, docstrings and layout.

    Python files are compared by their tokens: comments, docstrings, blank lines, spaces, indentation width, line breaks in
    brackets, the spelling of numbers (``0.50`` is ``0.5``) and the quotes of plain strings do not count. Everything else
    does, redundant brackets and trailing commas too; at worst a copy is evaluated twice. Files that cannot be read so, and
    those in other languages, are compared as text without blank lines and trailing spaces. Programs with one fingerprint
    behave alike, unless they read their own source or line numbers.

    Tokens rather than syntax trees: on 6 kB, parsing alone takes 2 ms and dumping the tree as much again; this takes 0.7.

    Args:
        files: Path -> text.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path, text in sorted(files.items()):
        normal = _python_tokens(text) if path.endswith(".py") else None
        kind = "text" if normal is None else "tokens"
        body = "\n".join(_stripped_lines(text)) if normal is None else "\0".join(normal)
        digest.update(f"{kind} {len(path)} {len(body)} {path}\n{body}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _stripped_lines(text: str) -> list[str]:
    # Blank lines count where they may follow a continuation: whether Python parses one at the end depends on them.
    if text.rstrip().endswith("\\"):
        return text.split("\n")
    return [line.rstrip() for line in text.split("\n") if line.strip()]


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


def _python_tokens(text: str) -> list[str] | None:
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


# Screening

#: Embeddings kept beyond ``memory``, so that a screen may look at a version up to this many additions old.
SLACK = 256


@dataclass(frozen=True, slots=True)
class NoveltyConfig:
    """What counts as a copy.

    Attributes:
        max_similarity: Cosine with the nearest known program above which a child is rejected; None compares identity
            alone.
        memory: Latest programs whose embeddings are compared; identity is compared with all.
    """

    max_similarity: float | None = None
    memory: int = 2000

    def __post_init__(self) -> None:
        if self.max_similarity is not None and not 0 < self.max_similarity <= 1:
            raise ValueError(f"max_similarity must lie in (0, 1], got {self.max_similarity}")
        if self.memory < 1:
            raise ValueError(f"memory must be >= 1, got {self.memory}")


class NoveltyScreen:
    """Compares children with the programs known at a version of the archive, which need not be the latest.

    A fold over additions: the same ones in the same order give the same screens. Embeddings are rounded as the archive
    rounds them, so that a resumed run screens as the uninterrupted one does.
    """

    def __init__(self, config: NoveltyConfig) -> None:
        self._config = config
        self._known: dict[str, tuple[int, str]] = {}
        self._ring: _Ring | None = None
        # Starting programs may have versions below 0.
        self._version: float = -math.inf

    def add(self, version: int, program_id: str, fingerprint: str, embedding: np.ndarray | None) -> None:
        """Remembers a program.

        Args:
            version: The version that its addition made; never below the last one.
            program_id: Its identifier.
            fingerprint: See `fingerprint`; the first program to have one keeps it.
            embedding: ``(d,)``; None where nothing is compared but identity.

        Raises:
            ValueError: If the version goes back.
        """
        if version < self._version:
            raise ValueError(f"additions come in the order of versions: got {version} after {self._version}")
        self._version = version
        self._known.setdefault(fingerprint, (version, program_id))
        if embedding is None or self._config.max_similarity is None:
            return
        if self._ring is None:
            self._ring = _Ring(self._config.memory, len(embedding))
        self._ring.add(version, program_id, embedding)

    def check(self, step: int, attempt: int, version: int, fingerprint: str, embedding: np.ndarray | None) -> Screen:
        """Compares a child with what was added up to a version, whatever was added since.

        Args:
            step: The child's step.
            attempt: Which of the step's attempts made it.
            version: The latest version to look at.
            fingerprint: The child's.
            embedding: ``(d,)``, the child's; None where nothing is compared but identity.

        Raises:
            ValueError: If more than `SLACK` embeddings were added since that version and some of them took the place of
                what it would see.
        """
        first = self._known.get(fingerprint)
        if first is not None and first[0] <= version:
            return Screen(step, attempt, version, Verdict.KNOWN, first[1])
        limit = self._config.max_similarity
        nearest = None if limit is None or embedding is None or self._ring is None else self._ring.nearest(version, embedding)
        if nearest is None or limit is None:
            return Screen(step, attempt, version, Verdict.NEW)
        program_id, similarity = nearest
        return Screen(step, attempt, version, Verdict.NEAR if similarity > limit else Verdict.NEW, program_id, similarity)


class _Ring:
    """The latest embeddings, in a matrix whose rows are written over in turn."""

    def __init__(self, memory: int, dimension: int) -> None:
        self._memory = memory
        # Rows are used one by one, and the system hands out the memory behind zeros only when it is written to.
        self._matrix = np.zeros((memory + SLACK, dimension), dtype=np.float32)
        self._versions: list[int] = []
        self._ids: list[str] = []

    def add(self, version: int, program_id: str, embedding: np.ndarray) -> None:
        row = unpack(pack(embedding))
        # The indices of these lists are additions, those of the matrix wrap around.
        self._matrix[len(self._ids) % len(self._matrix)] = row / max(float(np.linalg.norm(row)), 1e-12)
        self._versions.append(version)
        self._ids.append(program_id)

    def nearest(self, version: int, embedding: np.ndarray) -> tuple[str, float] | None:
        """Returns the program most similar to an embedding at a version, and the cosine; None when there is none."""
        size = len(self._matrix)
        end = bisect.bisect_right(self._versions, version)
        start = max(0, end - self._memory)
        if start < len(self._ids) - size:
            raise ValueError(f"version {version} is more than {SLACK} embeddings old; screen at a later one (a smaller lag)")
        if start == end:
            return None
        # The whole matrix: rounding in a product depends on its shape, which must not depend on what was added since.
        cosines = self._matrix @ embedding.astype(np.float32)
        visible = cosines[np.arange(start, end) % size]
        best = int(np.argmax(visible))
        return self._ids[start + best], float(visible[best])
