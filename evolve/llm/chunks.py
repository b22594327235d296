"""Cuts texts into pieces that a model of embeddings takes, and makes one vector of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from evolve.program import Files


def text_of(files: Files) -> str:
    """Returns one text that stands for a source: that of a single file as it is; of several, and of a blank one, with their paths.

    Halves of surrogate pairs, which no server takes, become question marks.
    """
    texts = [files[path] for path in sorted(files)]
    whole = texts[0] if len(texts) == 1 else ""
    if not whole.strip():
        whole = "\n".join(f"{path}\n{files[path]}" for path in sorted(files)) or "(nothing)"
    return whole.encode("utf-8", "replace").decode("utf-8")


def pieces(text: str, limit: int, size: Callable[[str], int] = len) -> list[str]:
    """Cuts a text between lines into pieces as long as may be; a line that is too long alone is cut within.

    Args:
        text: Not empty.
        limit: The largest size of a piece, >= 1. A single character passes, whatever its size.
        size: Of a text, in characters or in a model's tokens.

    Returns:
        At least one piece, none of them blank unless all of the text is; joined they are the text, blank pieces left out.
    """
    if limit < 1:
        raise ValueError(f"limit must be >= 1, got {limit}")
    if size(text) <= limit:
        return [text]
    found: list[str] = []
    begun: list[str] = []
    length = 0
    for part in _parts(text, limit, size):
        long = size(part)
        if begun and length + long > limit:
            found.append("".join(begun))
            begun, length = [], 0
        begun.append(part)
        length += long
    found.append("".join(begun))
    return [piece for piece in found if piece.strip()] or [text[:1]]


def _parts(text: str, limit: int, size: Callable[[str], int]) -> Iterator[str]:
    """Yields lines with their ends, those that are too long in halves of halves."""
    for line in text.splitlines(keepends=True):
        waiting = [line]
        while waiting:
            part = waiting.pop()
            if size(part) <= limit or len(part) == 1:
                yield part
            else:
                half = len(part) // 2
                waiting += [part[half:], part[:half]]


def pooled(vectors: Sequence[np.ndarray], lengths: Sequence[int]) -> np.ndarray:
    """Makes one vector of those of pieces: the mean of their directions, weighted by the pieces' lengths, of length 1.

    Args:
        vectors: ``(d,)`` each, finite and not zero.
        lengths: Of the pieces, > 0.

    Returns:
        ``(d,)`` float32.
    """
    directions = [unit(vector) * length for vector, length in zip(vectors, lengths, strict=True)]
    mean = np.sum(directions, axis=0) / sum(lengths)
    # Opposite pieces would cancel out; the first then stands for all.
    return unit(mean) if np.linalg.norm(mean) > 1e-6 else unit(vectors[0])


def unit(vector: np.ndarray) -> np.ndarray:
    """Returns a vector of length 1 and the same direction, as ``(d,)`` float32.

    Raises:
        ValueError: If it has no direction: it is zero, or a number of it is not finite.
    """
    wide = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(wide))
    if not 0 < length < np.inf:
        raise ValueError(f"an embedding must be finite and not zero, got one of length {length}")
    direction: np.ndarray = (wide / length).astype(np.float32)
    return direction
