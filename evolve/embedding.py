"""Has a run's programs embedded: by hashing on the spot, or by a model that may fail.

A program that a model does not embed is compared by identity alone; that is recorded, so that resuming and repeating a run do
the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Protocol

import numpy as np

from evolve.edits import mutable_text
from evolve.errors import ModelError
from evolve.llm.stopping import Stopping
from evolve.program import Files
from evolve.vectors import Vectors

logger = logging.getLogger(__name__)


class Embeds(Protocol):
    """What steps have their programs embedded by."""

    async def of(self, files: Files, step: int, attempt: int) -> np.ndarray | None:
        """Embeds a program by its mutable text.

        Args:
            files: The program.
            step: The step that made it.
            attempt: Which of the step's attempts.

        Returns:
            ``(d,)`` float32; None where there is none to be had, and identity alone is to be compared.

        Raises:
            Stopping: If the run is stopping.
        """
        ...

    def stop(self) -> None:
        """Begins no further call."""
        ...


class OnTheSpot:
    """Embeds by an embedder that takes a millisecond or two."""

    def __init__(self, embed: Callable[[Files], np.ndarray]) -> None:
        """Keeps the embedder.

        Args:
            embed: Embeds a program by its mutable text.
        """
        self._embed = embed

    async def of(self, files: Files, step: int, attempt: int) -> np.ndarray | None:
        return self._embed(files)

    def stop(self) -> None:
        pass


class Journal(Protocol):
    """Where failures are written down (`evolve.archive.store.RunWriter`)."""

    def unembedded(self, step: int, attempt: int, why: str) -> None:
        """Takes down why a program has no embedding."""
        ...


class ByModel:
    """Embeds by a model; a program that it does not embed is compared by identity alone, and the run goes on."""

    def __init__(self, vectors: Vectors, journal: Journal, failed: Collection[tuple[int, int]] = ()) -> None:
        """Asks nobody.

        Args:
            vectors: Makes the embeddings.
            journal: Where failures are taken down; whoever uses the embedding commits.
            failed: Steps and attempts whose programs were not embedded in an earlier session: they are not asked about again,
                or what was compared then could not be told.
        """
        self._vectors = vectors
        self._journal = journal
        self._failed = set(failed)
        self._warned = False

    async def of(self, files: Files, step: int, attempt: int) -> np.ndarray | None:
        if (step, attempt) in self._failed:
            return None
        try:
            [vector] = await self._vectors.of([mutable_text(files)], step, attempt)
        except Stopping:
            raise
        except ModelError as error:
            self._fail(step, attempt, error)
            return None
        return vector

    def _fail(self, step: int, attempt: int, error: ModelError) -> None:
        self._failed.add((step, attempt))
        self._journal.unembedded(step, attempt, str(error))
        if not self._warned:
            logger.warning(
                "step %d: %s; this program is compared by identity alone, and so are others that are not embedded: "
                "evolve show counts them",
                step,
                error,
            )
        self._warned = True

    def stop(self) -> None:
        self._vectors.stop()
