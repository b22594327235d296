"""Takes whole files from a reply; what may not change is the parent's, whatever the reply says of it."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from evolve.edits import Region, mutable_regions
from evolve.notation.elision import refuse_elision
from evolve.notation.lines import Lines, edited, kept, trimmed
from evolve.notation.paths import named_by_fence, named_by_line
from evolve.notation.refusal import EditRefused, checked, shortened
from evolve.notation.replies import Fenced, answer, fenced_blocks
from evolve.program import Files

_ADVICE = "Answer with the whole file in one fenced block: ``` on a line, every line of the file, ``` on a line"
_SEVERAL = "Answer with every file that changes, whole, in a fenced block of its own, and its path on the line before the block"
_EVERY = "Answer with every file that is wanted, whole, in a fenced block of its own, and its path on the line before the block"
_MARKERS = "Write the whole file with its EVOLVE-BLOCK-START and EVOLVE-BLOCK-END lines as they are, and change what lies between"
_SEARCH = "<<<<<<< SEARCH"


def apply_full(reply: str, parent: Files) -> Files:
    """Makes a program from the fenced files of a reply.

    Which block: those named for a file by the line above or by the fence; in a program of one file any block when none is
    named. Of several for one file, those that hold EVOLVE-BLOCK markers; of these the one with most lines, the last of
    equals. Files that the reply does not give stay. A reply to a one-file Python program may be bare code.

    Where the parent marks blocks that may change, the text around them is the parent's: a reply with as many blocks has its
    blocks put there, and whatever else it changed, dropped or reformatted outside is repaired without a word. A reply without
    markers is taken for the only block's content, the parent's text before and after it cut off where the reply repeats
    it whole.

    Line ends are the parent's, a missing one at the end of a file as well.

    Args:
        reply: What a model answered, prose and reasoning around its files included.
        parent: The program to change.

    Returns:
        The child: other text than the parent's, within its mutable regions.

    Raises:
        EditRefused: If there is no whole file, or it is not clear which one, or where it belongs.
    """
    text = answer(reply)
    regions = mutable_regions(parent)
    child = dict(parent)
    for path, content in _chosen(text, parent).items():
        child[path] = _merged(path, content, parent[path], regions[path])
    return checked(parent, child)


def read_files(reply: str, wanted: Sequence[str], given: Files = MappingProxyType({})) -> Files:
    """Takes files that do not exist yet from a reply, each whole.

    Which block is which file is told as in `apply_full`.

    Args:
        reply: What a model answered, prose and reasoning around its files included.
        wanted: Paths of the files.
        given: Files of the same program that are there already; a reply may repeat them, as they are.

    Returns:
        The wanted files, in that order; each ends with a line end.

    Raises:
        EditRefused: If one is missing, empty or leaves code out, another path is named, or a given file is changed.
    """
    known = {**given, **dict.fromkeys(wanted, "")}
    chosen = _chosen(answer(reply), known)
    for path, text in given.items():
        if path in chosen and _significant("\n".join(chosen[path])) != _significant(text):
            raise EditRefused(f"the reply changes {path}, which is there already and stays as it is. Leave it out")
    if lacking := [path for path in wanted if not "".join(chosen.get(path, ())).strip()]:
        raise EditRefused(f"the reply does not give {', '.join(lacking)}. {_ADVICE if len(known) == 1 else _EVERY}")
    for path in wanted:
        refuse_elision(chosen[path], (), f"{path}: the reply")
    return {path: "\n".join(chosen[path]).strip("\n") + "\n" for path in wanted}


def _chosen(text: str, parent: Files) -> Mapping[str, Sequence[str]]:
    """Finds the lines that the reply gives for each file."""
    content = Lines.of(text).content
    blocks = fenced_blocks(content)
    # Programs that read or write such blocks themselves may have them.
    if any(line.lstrip().startswith(_SEARCH) for line in content) and not any(_SEARCH in text for text in parent.values()):
        raise EditRefused(f"the reply has SEARCH/REPLACE blocks where whole files are asked for. {_wanted(parent)}")
    if not any("".join(block.content).strip() for block in blocks):
        return _bare(text, content, parent)
    named: dict[str, list[Fenced]] = {}
    unnamed: list[Fenced] = []
    for block in blocks:
        path = named_by_line(block.above, parent) or named_by_fence(block.info, parent)
        (unnamed if path is None else named.setdefault(path, [])).append(block)
    if len(parent) == 1 and not named:
        return {path: _best(unnamed) for path in parent}
    lost = next((block for block in unnamed if not named or (len(parent) > 1 and _marked(block))), None)
    if lost is not None:
        raise EditRefused(f"the fenced block at line {lost.line} of the reply names no file. {_SEVERAL}")
    return {path: _best(of_path) for path, of_path in named.items()}


def _wanted(parent: Files) -> str:
    return _ADVICE if len(parent) == 1 else _SEVERAL


def _best(blocks: Sequence[Fenced]) -> Sequence[str]:
    marked = [block for block in blocks if _marked(block)]
    # Ties go to the last: a model corrects itself further down.
    return max(reversed(marked or blocks), key=lambda block: len(block.content)).content


def _marked(block: Fenced) -> bool:
    return any("EVOLVE-BLOCK-START" in line for line in block.content)


def _bare(text: str, content: Sequence[str], parent: Files) -> Mapping[str, Sequence[str]]:
    [path, *others] = parent
    if not others and path.endswith(".py") and _is_python(text):
        while content and not content[0].strip():
            content = content[1:]
        return {path: content}
    raise EditRefused(f"the reply has no fenced block with text in it. {_wanted(parent)}")


def _is_python(text: str) -> bool:
    """Whether a text is Python that defines or imports something: a word of prose is an expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stray backslash in a string warns where the program runs
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # null characters; nested too deeply
        return False
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom) for node in tree.body
    )


def _merged(path: str, content: Sequence[str], old: str, regions: Sequence[Region]) -> str:
    """Puts the lines that a reply gives for a file into the parent's text."""
    if not regions:
        if list(map(trimmed, content)) != list(map(trimmed, Lines.of(old).content)):
            raise EditRefused(f"{path} is fixed and may not change; leave it out, and change the files with EVOLVE-BLOCK markers")
        return old
    if regions[0].start == 0:  # no markers: the file is its own region
        return _rewritten(path, old, regions[0], content)
    pieces = _pieces(path, content)
    if not pieces and len(regions) == 1:
        pieces = [_without_fixed(path, content, old, regions[0])]
    if len(pieces) != len(regions):
        raise EditRefused(f"{path}: the reply marks {len(pieces)} blocks, the program has {len(regions)}. {_MARKERS}")
    # From the last region on, so that the places of those before stay right.
    for region, piece in zip(reversed(regions), reversed(pieces), strict=True):
        old = _rewritten(path, old, region, piece)
    return old


def _rewritten(path: str, old: str, region: Region, content: Sequence[str]) -> str:
    """Replaces a region's lines; those that the new ones begin and end with stay as they are, line ends included."""
    before, inside = Lines.of(old[: region.start]), Lines.of(old[region.start : region.end])
    refuse_elision(content, {line.strip() for line in inside.content}, f"{path}: the reply")
    same = kept(inside.content, content)
    new = content[same.before : len(content) - same.after]
    first, last = len(before.content), len(before.content) + len(inside.content)
    lines = Lines.of(old)
    return edited(old, lines, [lines.replaced(first + same.before, last - same.after, new)])


def _pieces(path: str, content: Sequence[str]) -> list[Sequence[str]]:
    """Finds the marked blocks of a reply's file, without their markers."""
    text = "\n".join(content)
    try:
        regions = mutable_regions({path: text})[path]
    except ValueError as error:
        raise EditRefused(f"the reply breaks the EVOLVE-BLOCK markers: {error}. {_MARKERS}") from error
    return [Lines.of(text[region.start : region.end]).content for region in regions if region.start]


def _without_fixed(path: str, content: Sequence[str], old: str, region: Region) -> Sequence[str]:
    """Cuts the parent's fixed text off a file without markers.

    Raises:
        EditRefused: If some of it is left, so that it would stand in the program twice.
    """
    before, after = (_significant(part) for part in (old[: region.start], old[region.end :]))
    rest = _cut(content, before)
    rest = _cut(rest[::-1], after[::-1])[::-1]
    left = next((line for line in rest if line[:1].strip() and len(line) > 3 and trimmed(line) in {*before, *after}), None)
    if left is not None:
        repeated = f"repeats some of the text outside them, as {shortened(left)}"
        raise EditRefused(f"{path}: the reply has no EVOLVE-BLOCK markers and {repeated}. {_MARKERS}")
    return rest


def _significant(text: str) -> list[str]:
    """Lists the lines of a text that count: neither blank nor markers."""
    return [trimmed(line) for line in Lines.of(text).content if line.strip() and "EVOLVE-BLOCK-" not in line]


def _cut(content: Sequence[str], beginning: Sequence[str]) -> Sequence[str]:
    """Cuts lines off where they begin with others, blank ones on the way included; else returns them all."""
    if not beginning:
        return content
    reached = 0
    for wanted in beginning:
        while reached < len(content) and not content[reached].strip():
            reached += 1
        if reached == len(content) or trimmed(content[reached]) != wanted:
            return content
        reached += 1
    while reached < len(content) and not content[reached].strip():
        reached += 1
    return content[reached:]
