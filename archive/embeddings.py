"""Embeddings of programs, which novelty is measured with."""

from __future__ import annotations

import zlib
from typing import Protocol

import numpy as np

from evolve.archive.canonical import canonical_tokens
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
            ``(d,)`` float32, finite and not zero; ``d`` is the same for every source. Its length may say how much there is to
            the source: the same edit then moves long and short programs equally far. Otherwise it is 1.
        """
        ...


# Odd constants of SplitMix64 (Steele, Lea & Flood 2014), whose finaliser spreads every bit of a key.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class HashedNgrams:
    """Counts runs of one to three tokens and of two statements, hashed into a fixed number of places: no vocabulary, no model.

    Source: feature hashing, Weinberger et al. 2009 (arXiv:0902.2206). Each run's count is damped to its logarithm, so that one
    line repeated often does not drown the rest, and only then hashed: the map from damped counts to vectors is linear, so that
    an edit moves a vector by what it changes, however full the places are.

    The program's own variables are numbered and comments left out (`evolve.archive.canonical`). A number counts together with
    its place among the numbers of its statement: a table of zeros and ones is more than how many it has of each. Lengths say how
    much source there is.
    """

    def __init__(self, dimension: int = 512) -> None:
        """Prepares the hashing.

        Args:
            dimension: Length of an embedding.
        """
        if dimension < 1:
            raise ValueError(f"dimension must be >= 1, got {dimension}")
        self._dimension = dimension

    def embed(self, files: Files) -> np.ndarray:
        tokens = [token for path in sorted(files) for token in ("\0file", path, *canonical_tokens(path, files[path]))]
        vector = self._hashed(tokens) if tokens else np.zeros(self._dimension, np.float32)
        if not vector.any():
            # A source need not hold a single token, and signs can cancel out.
            vector[0] = 1.0
        return vector

    def _hashed(self, tokens: list[str]) -> np.ndarray:
        keys, counts = np.unique(_ngrams(tokens), return_counts=True)
        signs = np.where(keys & np.uint64(1), 1.0, -1.0)
        places = (keys >> np.uint64(1)) % np.uint64(self._dimension)
        return np.bincount(places.astype(np.int64), signs * np.log1p(counts), self._dimension).astype(np.float32)


def _ngrams(tokens: list[str]) -> np.ndarray:
    """Returns ``(m,)`` uint64 keys of all runs of one to three tokens, and of two statements."""
    numbers: dict[str, int] = {}
    order = np.array([numbers.setdefault(token, len(numbers)) for token in tokens])
    words = list(numbers)
    # crc32 rather than hash(): the latter differs between processes.
    hashes = np.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words], np.uint64)
    single = _mixed(hashes)[order]
    # The bits of the second token of a run are turned, and those of the third, or the order of a run would not count.
    pairs = _mixed(single[:-1] + _turned(single[1:], 21))
    triples = _mixed(pairs[:-1] + _turned(single[2:], 42))
    is_number = np.array([word[:1].isdigit() or (word[:1] == "." and word[1:2].isdigit()) for word in words])[order]
    ends = np.array([word[:1] in ("\n", ";") for word in words])[order]
    return np.concatenate([single[~is_number], _placed(single, is_number, ends), pairs, triples, _following(single, ends)])


def _following(single: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns keys of each statement with the one that follows it.

    Runs of tokens do not reach across a statement: calls alike in form could change places without any run noticing.
    """
    places = np.arange(len(single))
    starts = np.concatenate(([0], np.flatnonzero(ends[:-1]) + 1))
    within = places - np.repeat(starts, np.diff(starts, append=len(single)))
    statements = np.add.reduceat(_mixed(single + within.astype(np.uint64) * _GAMMA), starts)
    return _mixed(statements[:-1] + _turned(statements[1:], 21))


def _placed(single: np.ndarray, is_number: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns keys of the tokens that are numbers, by value and place in their statement, no two the same.

    The second number of a value at a place has a key of its own: were they counted and damped, one changed number in a long
    table would move the embedding less than a comment's worth.
    """
    seen = np.cumsum(is_number)
    before = np.maximum.accumulate(np.where(ends, seen, 0))
    keys = np.sort(_mixed(single[is_number] + (seen - before)[is_number].astype(np.uint64) * _GAMMA))
    repeats = np.arange(len(keys)) - np.searchsorted(keys, keys)
    return _mixed(keys + repeats.astype(np.uint64) * _GAMMA)


def _turned(keys: np.ndarray, bits: int) -> np.ndarray:
    return (keys << np.uint64(bits)) | (keys >> np.uint64(64 - bits))


def _mixed(keys: np.ndarray) -> np.ndarray:
    keys = keys + _GAMMA
    keys = (keys ^ (keys >> np.uint64(30))) * _MIX_1
    keys = (keys ^ (keys >> np.uint64(27))) * _MIX_2
    mixed: np.ndarray = keys ^ (keys >> np.uint64(31))
    return mixed


def pack(embedding: np.ndarray) -> bytes:
    """Packs an embedding for the archive: two bytes per number, little-endian half precision."""
    return embedding.astype("<f2").tobytes()


def unpack(packed: bytes) -> np.ndarray:
    """Unpacks what `pack` made.

    Returns:
        ``(d,)`` float32, each number within a relative 2**-11 (an absolute 2**-25 near 0) of the original.
    """
    return np.frombuffer(packed, dtype="<f2").astype(np.float32)
