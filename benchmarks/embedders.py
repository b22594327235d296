"""What a model's embeddings of programs are worth to novelty screening, and what they take.

``python benchmarks/embedders.py SPEC`` prints the table of benchmarks/NOVELTY.md for one embedder that works in this process, such
as ``sentence-transformers/FOLDER``. Distances are ``1 - cosine``: vectors have length 1. Times are CPU milliseconds, medians over
everything that is embedded.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable

import numpy as np
from novelty import TASKS, renamed

from evolve.archive.embeddings import Embedder, HashedNgrams
from evolve.calibration import distance, limit_of, probes
from evolve.edits import mutable_text
from evolve.llm.embedders import LocalEmbedder, parse_embedder
from evolve.program import Files
from evolve.tasks.catalog import find


class Timed:
    """Embeds the mutable text of programs and keeps count of the time."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.spent_ms: list[float] = []

    def all(self, programs: Iterable[Files]) -> list[np.ndarray]:
        """Embeds programs, to vectors of length 1."""
        return [self._one(mutable_text(files)) for files in programs]

    def _one(self, files: Files) -> np.ndarray:
        before = time.process_time()
        vector = self._embedder.embed(files)
        self.spent_ms.append(1000 * (time.process_time() - before))
        unit: np.ndarray = vector / np.linalg.norm(vector)
        return unit


def row(name: str, embedder: Embedder) -> str:
    """Measures one task."""
    files = find(name).files
    timed = Timed(embedder)
    tried = probes(files, 0)
    vectors = timed.all(tried.all)
    found = limit_of(tried, vectors)
    copies = [distance(vectors[0], vector) for vector in timed.all(renamed(files))]
    below = np.mean([edit < found.copy for edit in found.edits])
    limit = "none" if found.min_distance is None else f"{found.min_distance:.2g}"
    least, median = np.quantile(found.edits, [0, 0.5])
    size = len("".join(mutable_text(files).values()))
    return (
        f"| {name} | {size} | {len(found.edits)} | {found.copy:.2g} | {least:.2g}, {median:.2g} | {below:.0%} "
        f"| {min(copies):.2g}, {np.median(copies):.2g} | {limit} | {np.median(timed.spent_ms):.1f} |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("embedder", help="SPEC, such as sentence-transformers/FOLDER or hashed")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    asked = parser.parse_args()
    found = parse_embedder(asked.embedder)
    if found is not None and not isinstance(found, LocalEmbedder):
        parser.error(f"{asked.embedder} is asked over a network; name one that works in this process")
    embedder = HashedNgrams() if found is None else found.make()
    columns = (
        "task",
        "characters",
        "edits",
        "comment or blank line: most",
        "small edits: least, median",
        "edits nearer than that",
        "one name replaced: least, median",
        "limit",
        "ms",
    )
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")
    for name in asked.tasks:
        print(row(name, embedder), flush=True)


if __name__ == "__main__":
    main()
