"""Finds how near programs may be where a model embeds them: once the run has begun, for what that costs is the run's."""

from __future__ import annotations

import dataclasses
import logging

from evolve.archive.records import FoundLimit
from evolve.archive.store import Archive, RunWriter
from evolve.calibration import limit_of, probes
from evolve.config import RunConfig
from evolve.edits import mutable_text
from evolve.errors import ModelError
from evolve.program import Task
from evolve.vectors import Vectors

logger = logging.getLogger(__name__)

#: What calls of the calibration are put down to: no program's embedding.
_STEP, _ATTEMPT = 0, -1


async def with_found_limit(archive: Archive, task: Task, config: RunConfig, vectors: Vectors, writer: RunWriter) -> RunConfig:
    """Finds the limit of a run that leaves it to be found, or reads what an earlier session found.

    Args:
        archive: Where the run is.
        task: Its program is edited.
        config: The run's configuration.
        vectors: Embeds programs by a model.
        writer: The run's.

    Returns:
        The configuration with the limit; without any where copies are not told from edits, which is said.

    Raises:
        ModelError: If the model does not embed. The run has made nothing yet, and can be resumed.
    """
    if not config.novelty.calibrate or config.novelty.compares:
        return config
    if archive.limit(writer.run) is None:
        tried = probes(task.files, config.seed)
        try:
            embeddings = await vectors.of([mutable_text(files) for files in tried.all], _STEP, _ATTEMPT)
        except ModelError as error:
            raise ModelError(
                f"novelty.embedder: how near programs may be cannot be found: {error}. Mend it and `evolve resume`, or begin anew "
                "with a limit of your own (novelty.max_similarity), or none (novelty.calibrate=false)"
            ) from error
        found = limit_of(tried, embeddings)
        writer.limit(FoundLimit(found.min_distance, found.copy, found.edits))
        writer.commit()
        _say(config.novelty.embedder, found.min_distance, found.copy, found.edits)
    return with_recorded_limit(archive, writer.run, config)


def _say(embedder: str, limit: float | None, copy: float, edits: tuple[float, ...]) -> None:
    nearest = f"{edits[0]:.3g}" if edits else "none that could be tried"
    if limit is None:
        logger.warning(
            "%s does not tell copies of this program from edits (distance of a copy with another comment: up to %.3g, of the "
            "smallest edit: %s): identity alone is compared; novelty.max_similarity sets a limit of your own",
            embedder,
            copy,
            nearest,
        )
    else:
        logger.info("%s: programs nearer than %.3g are copies (the smallest edit: %s)", embedder, limit, nearest)


def with_recorded_limit(archive: Archive, run: int, config: RunConfig) -> RunConfig:
    """Puts the limit that a run has found by a model, or that it found none, into its configuration."""
    found = archive.limit(run)
    if found is None:
        return config
    if found.min_distance is None:
        return dataclasses.replace(config, novelty=config.novelty.without_limit())
    novelty = dataclasses.replace(config.novelty, calibrate=False, min_distance=found.min_distance)
    return dataclasses.replace(config, novelty=novelty)
