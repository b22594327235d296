"""What novelty screening costs, and what small edits and copies do to embeddings.

``python benchmarks/novelty.py`` prints the tables of benchmarks/NOVELTY.md. Times are CPU milliseconds, medians of `_REPEATS`.
Libraries for approximate search are measured where they are installed (``pip install faiss-cpu``); `evolve` uses none.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from evolve.archive.embeddings import HashedNgrams
from evolve.archive.novelty import NoveltyConfig, NoveltyScreen, fingerprint
from evolve.calibration import calibrated, distance, small_edits
from evolve.edits import Region, mutable_regions, mutable_text
from evolve.mutators import source
from evolve.program import Files
from evolve.rng import generator
from evolve.tasks.catalog import find

TASKS = ("circle_packing", "cache_eviction", "vehicle_routing", "lossless_compression")
DIMENSION = 512
_REPEATS = 40
#: Values of ``novelty.borderline``.
_BORDERS = (2, 8, 12, 16, 32)
_IDENTIFIER = re.compile(r"(?<![.\w])[a-z_]\w*(?= =[^=]| = )")
_ASSIGNED = re.compile(r"(\s*(?:return|[\w.\[\]]+ =))\s+([^;\n]+?)(;?\n)$")


def milliseconds(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Returns the median CPU time of a call."""
    spent = []
    for _ in range(repeats):
        before = time.process_time()
        work()
        spent.append(time.process_time() - before)
    return 1000 * float(np.median(spent))


def embed(files: Files) -> np.ndarray:
    """Embeds a program as screening does."""
    return HashedNgrams(DIMENSION).embed(mutable_text(files))


def renamed(files: Files) -> Iterator[Files]:
    """Yields copies of a program with one assigned name replaced wherever it stands in what may change of its file."""
    for path, regions in mutable_regions(files).items():
        text = files[path]
        names = sorted({name for region in regions for name in _IDENTIFIER.findall(text[region.start : region.end])})
        for name in names:
            pattern = re.compile(rf"(?<![.\w]){name}(?!\w)")
            pieces, reached = [], 0
            for region in regions:
                pieces += [text[reached : region.start], pattern.sub(f"{name}_renamed", text[region.start : region.end])]
                reached = region.end
            yield {**files, path: "".join([*pieces, text[reached:]])}


def distributions() -> None:
    """Prints what edits and renamed copies do, task by task."""
    columns = ("task", "length²", "limit", "small edits: least, median, most", "their cosine: median, most", "renamed copies below")
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    for name in TASKS:
        files = find(name).files
        origin = embed(files)
        found = calibrated(files, embed, 0)
        edited = [embed(edit) for edit in small_edits(files, generator(0, 0, "calibrate"))]
        cosines = [float(origin @ one / np.linalg.norm(origin) / np.linalg.norm(one)) for one in edited]
        copies = [distance(origin, embed(copy)) for copy in renamed(files)]
        low = sum(copy < (found.min_distance or 0.0) for copy in copies)
        least, median, most = np.quantile(found.edits, [0, 0.5, 1])
        print(
            f"| {name} | {float(origin @ origin):.0f} | {found.min_distance:.3f} | {least:.2f}, {median:.2f}, {most:.2f} "
            f"| {np.median(cosines):.4f}, {max(cosines):.4f} | {low} of {len(copies)} |"
        )


def _lines(files: Files) -> Iterator[tuple[str, Region, list[str]]]:
    """Yields the path, the place and the lines of all that may change."""
    for path, regions in mutable_regions(files).items():
        for region in regions:
            yield path, region, files[path][region.start : region.end].splitlines(keepends=True)


def _with(files: Files, path: str, region: Region, lines: Sequence[str]) -> Files:
    return {**files, path: files[path][: region.start] + "".join(lines) + files[path][region.end :]}


def reordered(files: Files) -> Iterator[Files]:
    """Yields copies with two neighbouring lines of one depth exchanged; of some of them the second needs the first."""
    for path, region, lines in _lines(files):
        for number, (one, two) in enumerate(itertools.pairwise(lines)):
            plain = all(line.strip() and line.rstrip()[-1] not in ":{}" for line in (one, two))
            if plain and one != two and _depth(one) == _depth(two):
                yield _with(files, path, region, [*lines[:number], two, one, *lines[number + 2 :]])


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def bracketed(files: Files) -> Iterator[Files]:
    """Yields copies with a pair of brackets put around what one line assigns or returns."""
    for path, region, lines in _lines(files):
        for number, line in enumerate(lines):
            found = _ASSIGNED.match(line)
            if found is not None and found[2][-1] not in "([{,":
                yield _with(files, path, region, [*lines[:number], f"{found[1]} ({found[2]}){found[3]}", *lines[number + 1 :]])


def borders() -> None:
    """Prints how much of what a judge would be asked about lies within so many limits, task by task."""
    kinds = {"small edits": lambda files: small_edits(files, generator(0, 0, "calibrate")), "brackets": bracketed}
    kinds["exchanged lines"] = reordered
    print(f"Nearer than {', '.join(map(str, _BORDERS))} limits:")
    print(f"| task | {' | '.join(kinds)} |")
    print(f"|---|{'---|' * len(kinds)}")
    for name in TASKS:
        files = find(name).files
        origin, limit = embed(files), calibrated(files, embed, 0).min_distance or 0.0
        cells = []
        for make in kinds.values():
            distances = [distance(origin, embed(made)) for made in make(files)]
            counts = (sum(one < times * limit for one in distances) for times in _BORDERS)
            cells.append(f"{', '.join(map(str, counts))} of {len(distances)}")
        print(f"| {name} | {' | '.join(cells)} |")


def embedding_cost() -> None:
    """Prints what it takes to look at one child."""
    text = Path(source.__file__).read_text(encoding="utf-8")[:6000]
    files = {"program.py": text[: text.rindex("\n") + 1]}
    embedder = HashedNgrams(DIMENSION)
    print(f"6 kB of Python: fingerprint {milliseconds(lambda: fingerprint(files)):.2f} ms, ", end="")
    print(f"embedding {milliseconds(lambda: embedder.embed(files)):.2f} ms")


def query_cost(sizes: Sequence[int]) -> None:
    """Prints what a query takes by exact products, and by approximate search where a library is installed."""
    rng = np.random.default_rng(0)
    for size in sizes:
        rows = rng.normal(size=(size, DIMENSION)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        screen = NoveltyScreen(NoveltyConfig(min_distance=0.1, memory=size))
        for version, row in enumerate(rows):
            screen.add(version, str(version), str(version), row)
        print(f"{size} programs: exact {milliseconds(lambda: screen.check(1, 0, size, 'new', rows[7])):.2f} ms", end="")  # noqa: B023
        for name, build in (("faiss", _faiss), ("hnswlib", _hnswlib)):
            if importlib.util.find_spec(name) is not None:
                before = time.process_time()
                search = build(rows)
                built = time.process_time() - before
                print(f"; {name} HNSW {milliseconds(lambda: search(rows[7])):.2f} ms, ", end="")  # noqa: B023
                print(f"{1000 * built / size:.2f} ms per program to build", end="")
        print()


def _faiss(rows: np.ndarray) -> Callable[[np.ndarray], object]:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(rows.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.add(rows)
    return lambda row: index.search(row[None], 1)


def _hnswlib(rows: np.ndarray) -> Callable[[np.ndarray], object]:
    import hnswlib

    index = hnswlib.Index("cosine", rows.shape[1])
    index.init_index(len(rows), M=16, ef_construction=200)
    index.set_num_threads(1)
    index.add_items(rows)
    return lambda row: index.knn_query(row, 1)


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], help="programs to compare with")
    asked = parser.parse_args()
    distributions()
    borders()
    embedding_cost()
    query_cost(asked.sizes)


if __name__ == "__main__":
    main()
