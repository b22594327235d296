"""Grammars that make a llama.cpp server write well-formed edits, for models too small to keep to a format of themselves.

The notation is llama.cpp's GBNF (its ``grammars/README.md``). A grammar shapes an answer and cannot make it right; and an
answer that is cut off at ``max_tokens`` is not whole in spite of it.
"""

from __future__ import annotations

from collections.abc import Sequence

SEARCH, DIVIDER, REPLACE = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"
#: Blocks in one answer: small models repeat themselves for as long as they may.
_MOST_BLOCKS = 3
#: Lines of one replacement, for the same reason.
_MOST_REPLACED = 24
#: Lines of one SEARCH text: small models search for all they were shown. More only where fewer would not be unique.
_MOST_SEARCHED = 8
#: Lines beyond which no unique text is looked for.
_LONGEST_SEARCHED = 400
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
#: A sentence before the edit: what a model writes first steers what it writes next.
_PLAN = 'plan ::= [^`<=>\\n] [^\\n]{0,240} "\\n"\n'


#: What begins a line of a block: anything, or no comment that could be an EVOLVE-BLOCK marker. Excluding a word of a notation
#: without negation takes a rule for each of its first letters; comments that begin with an E go with it.
_ANY_START = "other ::= [^` \\t\\r\\n] rest\n"
_NO_MARKER = "other ::= [^` \\t\\r\\n#/] rest | comment\n"
#: A line that begins with the sign of a comment and is no marker.
_COMMENT = (
    'comment ::= "#" remark | "/" (end | [^/\\r\\n] rest | "/" remark)\n'
    'remark ::= end | [^ E\\r\\n] rest | " " (end | [^ E\\r\\n] rest)\n'
)
#: The rest of a line.
_REST = 'rest ::= [^\\r\\n]* end\nend ::= "\\n"\n'


def full_rewrite_grammar(language: str, opening: str = "", *, markers: bool = True) -> str:
    """Makes the answer at most one sentence and one whole fenced block that is not empty.

    Lines of the block may begin with one or two backticks, not with three; more than two empty lines in a row are refused,
    because small models that lose the thread write nothing else.

    Args:
        language: What the block is called, such as ``"python"``.
        opening: The line that the block begins with, such as ``"def pack(n):"``; empty leaves it open. A small model that may
            begin as it likes begins with what surrounds the text that it was asked for.
        markers: Whether a line may be an EVOLVE-BLOCK marker; False where what stands between them is asked for, since small
            models write one in the middle of it.

    Raises:
        ValueError: If it is no single word.
    """
    if not language or any(character.isspace() or character == "`" for character in language):
        raise ValueError(f"language must be one word, got {language!r}")
    first = f'{_literal(opening)} "\\n" ' if opening else ""
    return (
        f'root ::= plan? {_literal(f"```{language}")} "\\n" {first}body "```" "\\n"?\n'
        f"{_PLAN}"
        'body ::= ("\\n"? "\\n"? text)+ "\\n"?\n'
        "text ::= [ \\t]* (other | tick other | tick tick other | tick tick? end) \n"
        'tick ::= "`"\n'
        f"{_ANY_START if markers else _NO_MARKER + _COMMENT}"
        f"{_REST}"
    )


def diff_grammar(parent_lines: Sequence[Sequence[str]]) -> str:
    """Makes the answer at most one sentence and one to three search/replace blocks that fit the parent.

    Each SEARCH text is a short run of lines of one region, as they stand there, long enough to occur in the regions once. Lines
    of a replacement may begin with anything but ``<``, ``=`` and ``>``, so that no marker can be taken for program text, and are
    no EVOLVE-BLOCK markers, which no region holds. Blocks
    name no file: of a program of several files, give the regions of one.

    Args:
        parent_lines: The parent's mutable regions: of each, its lines without their ends.

    Raises:
        ValueError: If no line can be searched for: there is none but blank or repeated ones.
    """
    starts: list[str] = []
    rules: list[str] = []
    for region, lines in enumerate(parent_lines):
        lengths = _unique_lengths(lines, parent_lines)
        rules += [f"r{region}n{number} ::= {_literal(line)} {_literal(chr(10))}" for number, line in enumerate(lines)]
        for start, length in enumerate(lengths):
            if length:
                starts.append(f"r{region}s{start}")
                rules.append(_run(f"r{region}", start, length, lines))
    if not starts:
        raise ValueError("no line of the parent can be searched for: its mutable regions hold only blank or repeated lines")
    return (
        f"root ::= plan? block{{1,{_MOST_BLOCKS}}}\n"
        f"{_PLAN}"
        f'block ::= {_literal(SEARCH)} "\\n" search {_literal(DIVIDER)} "\\n" line{{0,{_MOST_REPLACED}}} '
        f'{_literal(REPLACE)} "\\n"\n'
        "line ::= end | [^<=> \\t\\r\\n#/] rest | comment | [ \\t]+ (end | [^ \\t\\r\\n#/] rest | comment)\n"
        f"{_COMMENT}"
        f"{_REST}"
        f"search ::= {' | '.join(starts)}\n" + "".join(f"{rule}\n" for rule in rules)
    )


def _run(name: str, start: int, length: int, lines: Sequence[str]) -> str:
    """A SEARCH text that begins at a line: as many lines as make it unique, and perhaps some of what follows."""
    fixed = "".join(f"{line}\n" for line in lines[start : start + length])
    after = range(start + length, min(start + max(length, _MOST_SEARCHED), len(lines)))
    more = "".join(f" ({name}n{number}" for number in after) + ")?" * len(after)
    return f"{name}s{start} ::= {_literal(fixed)}{more}"


def _unique_lengths(lines: Sequence[str], regions: Sequence[Sequence[str]]) -> list[int]:
    """For each line, how many lines from there on occur in the regions once; 0 where none do, or the line is blank."""
    return [_unique_length(lines, start, regions) if lines[start].strip() else 0 for start in range(len(lines))]


def _unique_length(lines: Sequence[str], start: int, regions: Sequence[Sequence[str]]) -> int:
    rivals = [(region, at) for region in regions for at, line in enumerate(region) if line == lines[start]]
    for length in range(1, min(len(lines) - start, _LONGEST_SEARCHED) + 1):
        wanted = lines[start + length - 1]
        rivals = [(region, at) for region, at in rivals if at + length <= len(region) and region[at + length - 1] == wanted]
        if len(rivals) == 1:
            return length
    return 0


def _literal(text: str) -> str:
    """Writes a text as a GBNF literal; other control characters by their code."""
    return '"' + "".join(_ESCAPES.get(char, char if char >= " " else f"\\x{ord(char):02X}") for char in text) + '"'
