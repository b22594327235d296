"""Embeddings of programs, which novelty is measured with."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from evolve.program import Files


class Embedder(Protocol):
    """Turns source into a vector whose direction says what the source is like.

    The same files give the same vector in every process, whatever was embedded before.
    """

    def embed(self, files: Files) -> np.ndarray:
        """Embeds a source.

        Args:
            files: Hand in the mutable text alone: text that all programs share makes all of them alike.

        Returns:
            ``(d,)`` float32 of unit length; ``d`` is the same for every source.
        """
        ...


class HashedNgrams:
    """Counts runs of one to three tokens, hashed into a fixed number of buckets: no vocabulary, no model, no network.

    Source: feature hashing, Weinberger et al. 2009 (arXiv:0902.2206), as in scikit-learn's ``HashingVectorizer``. Counts
    are damped to their logarithm, so that one line repeated often does not drown the rest.
    """

    # Tokens rather than characters: for 6 kB, runs of 3 to 5 characters take 7 ms where these take 3, and unrelated programs
    # come out no farther apart.
    _TOKEN = r"[^\W\d]\w*|\d[\w.]*|[^\w\s]"

    def __init__(self, dimension: int = 4096) -> None:
        """Prepares the hashing.

        Args:
            dimension: Buckets, and so the length of an embedding.
        """
        if dimension < 1:
            raise ValueError(f"dimension must be >= 1, got {dimension}")
        from sklearn.feature_extraction.text import HashingVectorizer  # costs a second that most runs need not pay

        self._vectorizer = HashingVectorizer(
            n_features=dimension, ngram_range=(1, 3), token_pattern=self._TOKEN, lowercase=False, norm=None
        )

    def embed(self, files: Files) -> np.ndarray:
        # The path is part of the text, so that even an empty file has something to count.
        text = "\n".join(f"{path}\n{files[path]}" for path in sorted(files))
        counts = self._vectorizer.transform([text]).toarray()[0]
        damped: np.ndarray = (np.sign(counts) * np.log1p(np.abs(counts))).astype(np.float32)
        length = float(np.linalg.norm(damped))
        if length == 0:
            # Signed hashing can cancel out in a handful of buckets, and a source need not hold a single token.
            damped[0] = length = 1.0
        return damped / np.float32(length)


def pack(embedding: np.ndarray) -> bytes:
    """Packs an embedding for the archive: two bytes per number, little-endian half precision."""
    return embedding.astype("<f2").tobytes()


def unpack(packed: bytes) -> np.ndarray:
    """Unpacks what `pack` made.

    Returns:
        ``(d,)`` float32, each number within a relative 2**-11 (an absolute 2**-25 near 0) of the original.
    """
    return np.frombuffer(packed, dtype="<f2").astype(np.float32)
