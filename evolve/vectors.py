"""Makes embeddings by a model, and keeps them: nothing is embedded, or paid for, twice, in any run of an archive.

A vector is kept by a hash of the model and the source.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol
from weakref import WeakValueDictionary

import numpy as np

from evolve.archive.embeddings import Embedder, pack, unpack
from evolve.archive.store import Archive, RunWriter
from evolve.errors import ModelError
from evolve.llm.base import CallFailed, Failure
from evolve.llm.calling import Caller
from evolve.llm.chunks import pieces, pooled, text_of, unit
from evolve.llm.embedding_format import Embedded, embedding_request
from evolve.program import Files

#: Texts of one request, and characters: common servers take 32 texts, and one slow request should not hold all of them.
_TEXTS = 32
_CHARACTERS = 100_000
#: How often the pieces of a text are halved that its model finds too long.
_HALVINGS = 4
#: Characters that are a token at least, in source code: the longest piece is so many for each token that the model takes.
#: Measured 3.5 to 4.1 (`evolve.llm.prices`); a piece of denser text that is refused is halved.
_CHARACTERS_PER_TOKEN = 2
#: Tokens that a model takes where neither ``context=`` nor a price table says: the fewest of those in use.
_TOKENS = 512


def longest_piece(context: int | None) -> int:
    """Returns the characters of the longest piece for a model that takes so many tokens; None where nobody says."""
    return _CHARACTERS_PER_TOKEN * (context or _TOKENS)


class Vectors(Protocol):
    """Makes embeddings by a model, or knows them."""

    async def of(self, batch: Sequence[Files], step: int, attempt: int) -> list[np.ndarray]:
        """Embeds sources.

        Args:
            batch: Mutable text alone.
            step: The step that calls are put down to.
            attempt: Which of the step's attempts.

        Returns:
            ``(d,)`` float32 each, rounded as the archive rounds them.

        Raises:
            ModelError: If there are none.
        """
        ...

    def stop(self) -> None:
        """Begins no further call."""
        ...

    async def close(self) -> None:
        """Gives up what it holds: connections, a thread."""
        ...


class Shelf(Protocol):
    """Where vectors are kept by their keys."""

    def vectors(self, keys: Collection[bytes]) -> Mapping[bytes, np.ndarray]:
        """Reads vectors, ``(d,)`` float32 each; those that there are not are left out."""
        ...

    def keep(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        """Writes vectors at once, together with what was taken down before."""
        ...


class ArchiveShelf:
    """Keeps vectors in an archive; without a writer it only reads."""

    def __init__(self, archive: Archive, writer: RunWriter | None = None) -> None:
        self._archive = archive
        self._writer = writer

    def vectors(self, keys: Collection[bytes]) -> Mapping[bytes, np.ndarray]:
        return self._archive.vectors(keys)

    def keep(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        if self._writer is None:
            return
        for key, vector in vectors.items():
            self._writer.vector(key, vector)
        self._writer.commit()


def source_key(name: str, files: Files) -> bytes:
    """Hashes an embedder's name and a source."""
    return hashlib.sha256(json.dumps([name, sorted(files.items())]).encode()).digest()


def _piece_key(name: str, text: str) -> bytes:
    return hashlib.sha256(json.dumps([name, "piece", text]).encode()).digest()


def _rounded(vector: np.ndarray) -> np.ndarray:
    """Rounds as the archive does, so that a vector just made and one read back are the same."""
    return unpack(pack(vector))


class Locks:
    """One lock for each source that is being embedded: two children that are alike are not asked about at once."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def of(self, keys: Collection[bytes]) -> asyncio.Lock:
        """Returns the lock of a single source; of several a new one, for a run's calibration has nobody beside it."""
        return self._locks.setdefault(next(iter(keys)), asyncio.Lock()) if len(keys) == 1 else asyncio.Lock()


class RecordedVectors:
    """Knows the embeddings that an archive holds, and asks nobody."""

    def __init__(self, name: str, shelf: Shelf) -> None:
        """Keeps where to look.

        Args:
            name: Of the embedder that made them.
            shelf: Where they are.
        """
        self._name = name
        self._shelf = shelf

    async def of(self, batch: Sequence[Files], step: int, attempt: int) -> list[np.ndarray]:
        keys = [source_key(self._name, files) for files in batch]
        found = self._shelf.vectors(set(keys))
        if any(key not in found for key in keys):
            raise ModelError(f"no embedding by {self._name} is recorded")
        return [found[key] for key in keys]

    def stop(self) -> None:
        pass

    async def close(self) -> None:
        pass


class ThreadedVectors:
    """Embeds by an embedder of this process, in a thread of its own: one source at a time, and the loop goes on meanwhile."""

    def __init__(self, name: str, make: Callable[[], Embedder], shelf: Shelf) -> None:
        """Makes nothing yet.

        Args:
            name: Of the embedder.
            make: Makes it, in the thread, when it is first asked.
            shelf: Where vectors are kept.
        """
        self._name = name
        self._make = make
        self._shelf = shelf
        self._embedder: Embedder | None = None
        self._thread = ThreadPoolExecutor(1, "embedder")
        self._locks = Locks()

    async def of(self, batch: Sequence[Files], step: int, attempt: int) -> list[np.ndarray]:
        wanted = {source_key(self._name, files): files for files in batch}
        async with self._locks.of(wanted.keys()):
            found = dict(self._shelf.vectors(wanted.keys()))
            for key in [key for key in wanted if key not in found]:
                found[key] = await asyncio.get_running_loop().run_in_executor(self._thread, self._embedded, wanted[key])
                self._shelf.keep({key: found[key]})
        return [found[source_key(self._name, files)] for files in batch]

    def _embedded(self, files: Files) -> np.ndarray:
        try:
            if self._embedder is None:
                self._embedder = self._make()
            vector = np.asarray(self._embedder.embed(files), np.float32)
        except Exception as error:  # a model, or somebody's plug-in: a run is not to end by it
            raise ModelError(f"embedder {self._name} failed: {type(error).__name__}: {error}") from error
        if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
            raise ModelError(f"embedder {self._name} must make a vector of finite numbers, not all zero; got shape {vector.shape}")
        return _rounded(vector)

    def stop(self) -> None:
        pass

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


class ServedVectors:
    """Embeds by a model behind an API: every call is recorded and paid like others, and vectors are kept as they come."""

    def __init__(self, name: str, caller: Caller, shelf: Shelf, longest: int) -> None:
        """Asks nobody yet.

        Args:
            name: Of the embedder: its model and server.
            caller: Of an `evolve.llm.embedding_model.EmbeddingModel`.
            shelf: Where vectors are kept.
            longest: Characters of the longest piece that the model is given.
        """
        self._name = name
        self._caller = caller
        self._shelf = shelf
        self._longest = longest
        self._locks = Locks()

    async def of(self, batch: Sequence[Files], step: int, attempt: int) -> list[np.ndarray]:
        wanted = {source_key(self._name, files): text_of(files) for files in batch}
        async with self._locks.of(wanted.keys()):
            found = dict(self._shelf.vectors(wanted.keys()))
            # In the order of the batch: sets have none.
            found |= await self._within_context({key: wanted[key] for key in wanted if key not in found}, step, attempt)
        return [found[source_key(self._name, files)] for files in batch]

    async def _within_context(self, texts: Mapping[bytes, str], step: int, attempt: int) -> Mapping[bytes, np.ndarray]:
        """Embeds texts by key, in shorter pieces where the model finds them too long."""
        longest = self._longest
        for left in reversed(range(_HALVINGS + 1)):
            try:
                return await self._made({key: pieces(text, longest) for key, text in texts.items()}, step, attempt)
            except CallFailed as failed:
                if failed.failure is not Failure.CONTEXT_OVERFLOW or not left or longest == 1:
                    raise
                longest = max(1, longest // 2)
        raise AssertionError("the last round raises")

    async def _made(self, cut: Mapping[bytes, Sequence[str]], step: int, attempt: int) -> Mapping[bytes, np.ndarray]:
        """Asks for what is missing of texts in pieces; a text of one piece is kept under its own key."""
        names = {key: [key] if len(texts) == 1 else [_piece_key(self._name, text) for text in texts] for key, texts in cut.items()}
        asked = {name: text for key, texts in cut.items() for name, text in zip(names[key], texts, strict=True)}
        known = dict(self._shelf.vectors(asked.keys()))
        missing = {name: text for name, text in asked.items() if name not in known}
        requests = (self._ask(request, step, attempt) for request in _requests(missing))
        # All of them, also when one fails: what the others cost has brought vectors that are kept.
        for answer in await asyncio.gather(*requests, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            known |= answer
        whole = {
            key: _rounded(pooled([known[name] for name in names[key]], [len(text) for text in texts]))
            for key, texts in cut.items()
            if len(texts) > 1
        }
        if whole:
            self._shelf.keep(whole)
        return {key: whole[key] if key in whole else known[key] for key in cut}

    async def _ask(self, request: Mapping[bytes, str], step: int, attempt: int) -> Mapping[bytes, np.ndarray]:
        called = await self._caller.call(embedding_request(list(request.values())), step, attempt)
        answer = called.completion
        if not isinstance(answer, Embedded):
            raise CallFailed(f"model {self._caller.name} refused to embed a program", Failure.BAD_REQUEST)
        vectors = {key: _rounded(unit(vector)) for key, vector in zip(request, answer.vectors, strict=True)}
        # With no pause since the call was billed: a kill between the two would have it paid for twice.
        self._shelf.keep(vectors)
        return vectors

    def stop(self) -> None:
        self._caller.stop()

    async def close(self) -> None:
        await self._caller.close()


def _requests(texts: Mapping[bytes, str]) -> Iterator[Mapping[bytes, str]]:
    """Divides texts among requests."""
    request: dict[bytes, str] = {}
    for key, text in texts.items():
        if request and (len(request) == _TEXTS or sum(map(len, request.values())) + len(text) > _CHARACTERS):
            yield request
            request = {}
        request[key] = text
    if request:
        yield request
