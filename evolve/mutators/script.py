"""The local mutators' replies: a short script of replaced spans, with a sentence about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evolve.edits import Region, Span, check_edit, mutable_regions, splice
from evolve.mutation import MutationFailed
from evolve.mutators.languages import syntax_of
from evolve.mutators.numerals import Numbered
from evolve.mutators.plain import PlainSource
from evolve.mutators.source import PythonSource, SourceCache, compiles, parsed
from evolve.program import Files, Program, Reply


@dataclass(frozen=True, slots=True)
class Change:
    """What a mutator proposes.

    Attributes:
        note: A sentence for people to read.
        spans: The replacements in each file, by path.
        strategy: What the child inherits instead of the parent's own; None leaves that.
        donors: Identifiers of the programs that source was taken from.
    """

    note: str
    spans: Mapping[str, Sequence[Span]]
    strategy: Mapping[str, float] | None = None
    donors: tuple[str, ...] = ()


class _Edit(NamedTuple):
    path: str
    span: Span


def spliced(files: Files, spans: Mapping[str, Sequence[Span]]) -> dict[str, str]:
    """Applies replacements to a program's files.

    Raises:
        ValueError: If spans overlap or lie outside their file.
    """
    return {path: splice(text, spans.get(path, ())) for path, text in files.items()}


def reply_to(change: Change) -> Reply:
    """Writes a change down as ``{"note": ..., "edits": [[path, start, end, text], ...]}``."""
    edits = [[path, span.start, span.end, span.text] for path in sorted(change.spans) for span in change.spans[path]]
    text = json.dumps({"note": change.note, "edits": edits}, ensure_ascii=False, separators=(",", ":"))
    return Reply(text, strategy=change.strategy, parents=change.donors)


def apply_reply(reply: Reply, parent: Program) -> Files:
    """Turns a written change into the child's source.

    Raises:
        MutationFailed: If the reply is not such a script, or leaves the parent's mutable regions.
    """
    spans: dict[str, list[Span]] = {}
    regions = mutable_regions(parent.files)
    for path, span in _edits(reply.text):
        if not _within(span, regions.get(path, ())):
            raise MutationFailed(f"the edit at {span.start}..{span.end} of {path} lies outside what may change")
        spans.setdefault(path, []).append(span)
    try:
        return spliced(parent.files, spans)
    except ValueError as error:
        raise MutationFailed(f"the edit script cannot be applied: {error}") from error


def _edits(text: str) -> list[_Edit]:
    wanted = '{"note": text, "edits": [[path, start, end, text], ...]}'
    try:
        script = json.loads(text)
        edits = [_Edit(path, Span(start, end, new)) for path, start, end, new in script["edits"]]
    except (ValueError, KeyError, TypeError) as error:
        raise MutationFailed(f"the reply is not an edit script {wanted}: {error}") from error
    for path, span in edits:
        if not (isinstance(path, str) and isinstance(span.start, int) and isinstance(span.end, int) and isinstance(span.text, str)):
            raise MutationFailed(f"the reply is not an edit script {wanted}: {[path, span.start, span.end, span.text]!r}")
    return edits


def first_sound(parent: Program, attempts: int, propose: Callable[[], Change | None], *, compiled: bool = True) -> Change:
    """Returns the first proposal whose child parses, differs from the parent and keeps to the regions.

    Args:
        parent: The program to change.
        attempts: Proposals to look at before giving up.
        propose: Makes a proposal; None when it finds nothing this time.
        compiled: Whether children must also pass Python's checks beyond the grammar.

    Raises:
        MutationFailed: If no proposal is sound.
    """
    for _ in range(attempts):
        change = propose()
        if change is not None and _sound(parent, change, compiled):
            return change
    raise MutationFailed(f"found nothing to change in program {parent.program_id} in {attempts} attempts")


def _within(span: Span, regions: Sequence[Region]) -> bool:
    return any(region.start <= span.start <= span.end <= region.end for region in regions)


def _sound(parent: Program, change: Change, compiled: bool) -> bool:
    before = mutable_regions(parent.files)
    if not all(_within(span, before[path]) for path, spans in change.spans.items() for span in spans):
        return False
    try:
        files = spliced(parent.files, change.spans)
        check_edit(parent.files, files)
    except ValueError:
        return False
    changed = [path for path in files if files[path] != parent.files[path]]
    for path in changed:
        if not path.endswith(".py"):
            continue  # whether it builds is for the sandbox to find out
        # The tree is let go: most children never become parents, and kept ones make all parsing slower.
        try:
            tree = parsed(files[path])
        except SyntaxError:
            return False
        if compiled and not compiles(tree):
            return False
    return bool(changed)


def numbered_sources(parent: Program, cache: SourceCache) -> list[Numbered]:
    """Finds the files whose numbers can be tuned, in any language that `evolve.mutators.languages` knows.

    Raises:
        MutationFailed: If the program has none.
    """
    sources = numbered_files(parent.files, cache)
    if not sources:
        raise MutationFailed(
            f"of {', '.join(sorted(parent.files))} none is in a known language, reads as such, and has text that may change"
        )
    return sources


def numbered_files(files: Files, cache: SourceCache) -> list[Numbered]:
    """Lists the files of a program whose numbers can be tuned, in path order; Python that does not parse is left out."""
    regions = mutable_regions(files)
    found: list[Numbered] = []
    for path in sorted(files):
        syntax = syntax_of(path)
        if path.endswith(".py") and regions[path]:
            source = cache.source(path, files[path], regions[path])
            found += [source] if source is not None else []
        elif syntax is not None and regions[path]:
            found.append(PlainSource(path, files[path], regions[path], syntax))
    return found


def python_sources(parent: Program, cache: SourceCache) -> list[PythonSource]:
    """Parses what a mutator of syntax trees can work on.

    Raises:
        MutationFailed: If no Python file of the program parses and has text that may change.
    """
    sources = cache.sources(parent.files)
    if not sources:
        raise MutationFailed(
            f"this mutator changes Python files only, and none of {', '.join(sorted(parent.files))} parses as Python "
            "with text that may change"
        )
    return sources
