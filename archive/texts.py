"""Texts: sources, prompts, replies and feedback, each stored once, compressed against a text that it resembles.

A text is known by the first 16 bytes of its SHA-256. Most texts of a run resemble a recent one: programs their relatives,
prompts other prompts. Handed to zlib as a preset dictionary, such a text leaves little to store: an archive of 3000 steps with
6 kB programs and 25 kB prompts takes 19 MB, and 51 MB without. A dictionary is mostly stored without a dictionary of its own, so
that reading a text takes one other; a text that was there before, compressed against another one (the file that a child
leaves as it was, the best of an earlier run that a later one starts from), can be one all the same.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, bindparam, select

from evolve.archive.embeddings import pack as pack_embedding
from evolve.archive.embeddings import unpack as unpack_embedding
from evolve.archive.tables import texts

#: 128 bits: two texts of an archive will not share a hash by accident, nor by an effort below 2**64.
HASH_BYTES = 16
# Level 6 makes the same archive 8 % smaller and a whole step 30 % dearer.
_LEVEL = 3
# zlib's window: earlier text of a dictionary is never looked at.
_WINDOW_BYTES = 32 * 1024
# Eight makes the same archive 15 % larger, sixty-four 2 % smaller, but relies longer on a text that may be no relative.
_RENEWED_AFTER = 32
#: Texts of a run whose dictionary is remembered: programs change one file and repeat the others of a recent parent.
_REMEMBERED_DEPENDENT = 10_000
# A shorter text gains nothing that would pay for the call.
_SHORT_BYTES = 48
# Databases limit the parameters of one statement (SQLite before 3.32: 999).
_BATCH = 500
_SELECT = select(texts).where(texts.c.hash.in_(bindparam("hashes", expanding=True)))


class Dictionary(NamedTuple):
    """A stored text that others are compressed against: its hash and its bytes, at most zlib's window of them."""

    hash: bytes
    window: bytes

    @classmethod
    def of(cls, text: str) -> Dictionary:
        """Makes a dictionary of a text, which must be stored too."""
        encoded = encode(text)
        return cls(text_hash(encoded), encoded[-_WINDOW_BYTES:])


class Packer:
    """Packs the texts of one run, each against an earlier text of its kind.

    The first text of a kind is the dictionary of those that follow, until one of them takes its place: programs drift away
    from the initial program, and what most resembles a text is what was written shortly before.
    """

    def __init__(self) -> None:
        self._dictionaries: dict[str, Dictionary] = {}
        self._uses: dict[str, int] = {}
        self._dependent: OrderedDict[bytes, None] = OrderedDict()

    def pack(self, text: str, kind: str) -> Packed:
        """Packs a text of a kind, whose dictionary it may become."""
        dictionary = self._dictionaries.get(kind)
        self._uses[kind] = self._uses.get(kind, 0) + 1
        packed = pack(text, dictionary)
        due = dictionary is None or self._uses[kind] >= _RENEWED_AFTER
        # What is stored already keeps its dictionary: making it one would lengthen a chain.
        if due and packed.hash not in self._dependent:
            self.begin(text, kind)
            return pack(text)
        if packed.dictionary is not None:
            self._dependent[packed.hash] = None
            if len(self._dependent) > _REMEMBERED_DEPENDENT:
                self._dependent.popitem(last=False)
        return packed

    def pack_like(self, text: str, kind: str) -> Packed:
        """Packs a text that resembles those of a kind without being one, such as a reply that quotes its prompt."""
        return pack(text, self._dictionaries.get(kind))

    def begin(self, text: str, kind: str) -> None:
        """Makes a text the dictionary of its kind."""
        self._dictionaries[kind] = Dictionary.of(text)
        self._uses[kind] = 0


class Packed(NamedTuple):
    """A text as its row holds it: ``dictionary`` is the hash of the text that it was compressed against, if any."""

    hash: bytes
    dictionary: bytes | None
    compressed: bool
    body: bytes


def encode(text: str) -> bytes:
    """Encodes a text; what a program printed may hold lone surrogates, and they survive."""
    return text.encode("utf-8", "surrogatepass")


def text_hash(encoded: bytes) -> bytes:
    """Hashes an encoded text for its key."""
    return hashlib.sha256(encoded).digest()[:HASH_BYTES]


def pack(text: str, dictionary: Dictionary | None = None) -> Packed:
    """Packs a text for its row.

    Args:
        text: What to store.
        dictionary: A text that it resembles.
    """
    encoded = encode(text)
    key = text_hash(encoded)
    plain = Packed(key, None, False, encoded)
    if len(encoded) < _SHORT_BYTES:
        return plain
    if dictionary is None or dictionary.hash == key:
        packer, against = zlib.compressobj(_LEVEL), None
    else:
        packer, against = zlib.compressobj(_LEVEL, zdict=dictionary.window), dictionary.hash
    body = packer.compress(encoded) + packer.flush()
    if len(body) >= len(encoded):
        return plain
    return Packed(key, against, True, body)


class TextReader:
    """Reads texts by hash and remembers the few dictionaries that they were compressed against."""

    def __init__(self, remembered: int = 64) -> None:
        """Starts with nothing remembered.

        Args:
            remembered: Dictionaries kept, of up to 32 kB each.
        """
        self._remembered = remembered
        self._windows: OrderedDict[bytes, bytes] = OrderedDict()

    def read(self, connection: Connection, hashes: Iterable[bytes | None]) -> dict[bytes | None, str]:
        """Reads texts; None stands for the empty text.

        Returns:
            Every hash given, with its text.
        """
        found: dict[bytes | None, str] = {None: ""}
        wanted = sorted({key for key in hashes if key is not None})
        for start in range(0, len(wanted), _BATCH):
            rows = connection.execute(_SELECT, {"hashes": wanted[start : start + _BATCH]}).all()
            windows = self._fetch_windows(connection, {row.dictionary for row in rows if row.dictionary is not None})
            for row in rows:
                encoded = _unpack(row.body, windows.get(row.dictionary)) if row.compressed else row.body
                found[row.hash] = encoded.decode("utf-8", "surrogatepass")
        return found

    def _fetch_windows(self, connection: Connection, hashes: set[bytes]) -> dict[bytes, bytes]:
        missing = hashes - self._windows.keys()
        windows = {key: self._windows[key] for key in hashes - missing}
        rows = connection.execute(_SELECT, {"hashes": sorted(missing)}).all() if missing else []
        deeper = {row.dictionary for row in rows if row.dictionary is not None}
        below = self._fetch_windows(connection, deeper) if deeper else {}
        for row in rows:
            encoded = _unpack(row.body, below.get(row.dictionary)) if row.compressed else row.body
            windows[row.hash] = self._windows[row.hash] = encoded[-_WINDOW_BYTES:]
        while len(self._windows) > self._remembered:
            self._windows.popitem(last=False)
        return windows


def _unpack(body: bytes, window: bytes | None) -> bytes:
    unpacker = zlib.decompressobj() if window is None else zlib.decompressobj(zdict=window)
    return unpacker.decompress(body) + unpacker.flush()


def pack_vector(vector: np.ndarray) -> bytes:
    """Packs an embedding: half precision, compressed, for hashed counts take few different values."""
    return zlib.compress(pack_embedding(vector), _LEVEL)


def unpack_vector(packed: bytes) -> np.ndarray:
    """Unpacks what `pack_vector` made, as ``(d,)`` float32."""
    return unpack_embedding(zlib.decompress(packed))
