"""Shows text that nobody vouches for, so that a model can tell it from what it is told to do.

What programs print, what evaluators say about them, error texts and earlier replies may hold anything, also text that was put
there to be read by a model. No fence makes a model obey only us; what can be kept from such text is to leave its fence, to look
like an edit or a marker, to speak in another role, to hide characters, and to crowd out the rest.
"""

from __future__ import annotations

import re
import unicodedata

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_LINE_END = re.compile(r"\r\n|\r")
# Line starts at which a reader of replies, or a model that imitates one, would see an edit or a block that may change.
_MARKER = re.compile(r"^(\W*)EVOLVE-BLOCK-(START|END)", re.MULTILINE)
_EDIT = re.compile(r"^(?=[ \t]*(?:[<>]{5,}|={5,}[ \t]*$))", re.MULTILINE)
# Some servers read these as the end of a turn, wherever they stand in a message.
_TURN = re.compile(r"<(?=\|\w+\|>|/?s>|(?:start|end)_of_turn>)|\[(?=/?INST\])")
_BACKTICKS = re.compile(r"`+")
# Most text holds none, and a look at the category of every character is slow.
_UNUSUAL = re.compile(r"[^\n\t -~]")
#: Control, format (invisible, or turns the direction of text), unassigned, private, lone surrogates; ends of lines and paragraphs.
_HIDDEN = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
#: The note about what was cut, and a little of both ends, fit into this.
LEAST_CHARS = 100


def fenced(text: str, limit: int) -> str:
    """Writes text that is nobody's instruction into a block which it cannot leave.

    Args:
        text: What a program, an evaluator or a tool said.
        limit: Longest text in characters, the note about what was cut included; at least `LEAST_CHARS`.

    Returns:
        A fenced block, without a newline at its end.
    """
    shown = shortened(_disarmed(visible(text)).strip("\n"), limit)
    return block(shown, "text")


def block(text: str, language: str) -> str:
    """Writes text into a fence that is longer than any run of backticks in it, without a newline at its end."""
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{fence}"


def shortened(text: str, limit: int) -> str:
    """Keeps the head and, since errors stand at the end, twice as much of the tail.

    Args:
        text: Any text.
        limit: Longest result in characters; at least `LEAST_CHARS`.

    Raises:
        ValueError: If the limit is too small for the note about what was cut.
    """
    if limit < LEAST_CHARS:
        raise ValueError(f"limit must be >= {LEAST_CHARS}, got {limit}")
    if len(text) <= limit:
        return text
    kept = limit - len(_note(len(text)))
    head = kept // 3
    tail = kept - head
    # On one line with both ends: what was cut out of a line must not come to stand at the start, or alone on a line.
    return text[:head] + _note(len(text) - kept) + text[len(text) - tail :]


def _note(count: int) -> str:
    return f" [... {count} characters left out ...] "


def visible(text: str) -> str:
    r"""Drops colours, writes line ends as ``\n`` and hidden characters as escapes, and breaks marks of another role's turn."""
    text = _LINE_END.sub("\n", _ANSI.sub("", text))
    text = _UNUSUAL.sub(_escaped, text)
    return _TURN.sub(lambda found: f"{found[0]} ", text)


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    return char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in _HIDDEN else char


def _disarmed(text: str) -> str:
    """Breaks what would pass for a marker line or a search/replace block."""
    return _EDIT.sub("| ", _MARKER.sub(r"\1EVOLVE BLOCK \2", text))


def one_line(text: str, limit: int = 80) -> str:
    """Writes a name as one short line that keeps its cell of a table, whatever it holds."""
    line = " ".join(visible(text).split()).replace("|", "/").replace("`", "'")
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
