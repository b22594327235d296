"""Whether a child is new: its identity up to layout, and its distance to known programs.

Two programs are the same when their normalised tokens are; then the second need not be evaluated. They are near when
their embeddings are, by their cosine or by a distance that does not shrink as programs grow.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evolve.archive.embeddings import pack, unpack
from evolve.archive.records import Screen, Verdict
from evolve.archive.tokens import python_tokens
from evolve.program import Files

# Fingerprints


def fingerprint(files: Files) -> str:
    """Identifies a source up to comments, docstrings and layout.

    Python files are compared by their tokens: comments, docstrings, blank lines, spaces, indentation width, line breaks in
    brackets, the spelling of numbers (``0.50`` is ``0.5``) and the quotes of plain strings do not count. Everything else
    does, redundant brackets and trailing commas too; at worst a copy is evaluated twice. Files that cannot be read so, and
    those in other languages, are compared as text without blank lines and trailing spaces. Programs with one fingerprint
    behave alike, unless they read their own source or line numbers.

    Tokens rather than syntax trees: on 6 kB, parsing alone takes 2 ms and dumping the tree as much again; this takes 0.7.

    Args:
        files: Path -> text.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path, text in sorted(files.items()):
        normal = python_tokens(text) if path.endswith(".py") else None
        kind = "text" if normal is None else "tokens"
        body = "\n".join(_stripped_lines(text)) if normal is None else "\0".join(normal)
        digest.update(f"{kind} {len(path)} {len(body)} {path}\n{body}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _stripped_lines(text: str) -> list[str]:
    # Blank lines count where they may follow a continuation: whether Python parses one at the end depends on them.
    if text.rstrip().endswith("\\"):
        return text.split("\n")
    return [line.rstrip() for line in text.split("\n") if line.strip()]


# Screening

#: Embeddings kept beyond ``memory``, so that a screen may look at a version up to this many additions old.
SLACK = 256
#: Rows of one matrix product. Rounding depends on a product's shape, which must not depend on how much there is to compare.
_BLOCK = 512


#: How far borderline reaches when nobody says, in limits. A limit that was found is an eighth of the smallest edit that was tried,
#: so this is twice that edit. Copies that are written in another way lie there, among edits (benchmarks/NOVELTY.md).
BORDERLINE = 16.0
#: The name of the built-in embedder, for who wants to write it.
HASHED = "hashed"


@dataclass(frozen=True, slots=True)
class NoveltyConfig:
    """What counts as a copy.

    Attributes:
        calibrate: Whether `min_distance` is found from the initial program when a run begins, unless a limit is given. Identity
            alone is compared without any limit.
        max_similarity: Cosine with the nearest known program above which a child is rejected.
        min_distance: Distance from the nearest known program below which a child is rejected: half the squared length of the
            difference that two embeddings would have if only their direction differed, ``(1 - cosine) * |a| * |b|``. Where an
            embedding's length says how much source there is, an edit keeps its distance as programs grow, where its cosine
            creeps towards 1.
        memory: Latest programs whose embeddings are compared; identity is compared with all.
        embedder: SPEC of what embeds programs (`evolve.llm.embedders`); empty, or ``"hashed"``, is the built-in one.
        judge: SPEC of a language model that is asked whether a borderline child does the same as the nearest known program, which
            rejects it; None asks nobody, and none is rejected beyond the limit.
        borderline: How far borderline reaches: below so many times the limit, and with `max_similarity` so many times ``1 -
            max_similarity``; above 1.
    """

    calibrate: bool = True
    max_similarity: float | None = None
    min_distance: float | None = None
    memory: int = 10_000
    embedder: str = ""
    judge: str | None = None
    borderline: float = BORDERLINE

    def __post_init__(self) -> None:
        if self.max_similarity is not None and not 0 < self.max_similarity <= 1:
            raise ValueError(f"max_similarity must lie in (0, 1], got {self.max_similarity}")
        if self.min_distance is not None and not 0 < self.min_distance < float("inf"):
            raise ValueError(f"min_distance must be > 0, got {self.min_distance}")
        if self.memory < 1:
            raise ValueError(f"memory must be >= 1, got {self.memory}")
        self._check_judge()

    def _check_judge(self) -> None:
        if not 1 < self.borderline < float("inf"):
            raise ValueError(f"borderline must be finite and > 1, got {self.borderline}")
        if self.judge is None:
            if self.borderline != BORDERLINE:
                raise ValueError(f"borderline is {self.borderline}, and nobody is asked; name a judge, or leave borderline out")
            return
        if not self.calibrate and not self.compares:
            raise ValueError("a judge needs a limit to be asked beyond; set max_similarity or min_distance, or leave calibrate on")
        if self.max_similarity == 1 and self.min_distance is None:
            raise ValueError("max_similarity = 1 leaves nothing borderline to ask a judge about; set a lower one, or min_distance")

    @property
    def hashes(self) -> bool:
        """Whether the built-in embedder is used, which asks no model."""
        return self.embedder.strip() in ("", HASHED)

    @property
    def compares(self) -> bool:
        """Whether embeddings are compared, and not identity alone."""
        return self.max_similarity is not None or self.min_distance is not None

    def too_near(self, neighbour: Neighbour) -> bool:
        """Whether a child with this nearest neighbour is rejected."""
        if self.max_similarity is not None and neighbour.similarity > self.max_similarity:
            return True
        return self.min_distance is not None and neighbour.distance < self.min_distance

    def is_borderline(self, neighbour: Neighbour) -> bool:
        """Whether a judge is to say if a child with this nearest neighbour is rejected."""
        if self.judge is None or self.too_near(neighbour):
            return False
        if self.max_similarity is not None and 1 - neighbour.similarity < self.borderline * (1 - self.max_similarity):
            return True
        return self.min_distance is not None and neighbour.distance < self.borderline * self.min_distance

    def without_limit(self) -> NoveltyConfig:
        """Returns the same with identity alone compared, so that there is nothing to judge either."""
        return dataclasses.replace(self, calibrate=False, max_similarity=None, min_distance=None, judge=None, borderline=BORDERLINE)


class Neighbour(NamedTuple):
    """The known program whose embedding is nearest in direction.

    Attributes:
        program_id: Its identifier.
        similarity: The cosine.
        distance: ``(1 - cosine) * |a| * |b|``.
    """

    program_id: str
    similarity: float
    distance: float


class NoveltyScreen:
    """Compares children with the programs known at a version of the archive, which need not be the latest.

    A fold over additions: the same ones in the same order give the same screens. Embeddings are rounded as the archive
    rounds them, so that a resumed run screens as the uninterrupted one does.
    """

    def __init__(self, config: NoveltyConfig) -> None:
        self._config = config
        self._known: dict[str, tuple[int, str]] = {}
        self._ring: _Ring | None = None
        # Starting programs may have versions below 0.
        self._version: float = -math.inf

    def add(self, version: int, program_id: str, fingerprint: str, embedding: np.ndarray | None) -> None:
        """Remembers a program.

        Args:
            version: The version that its addition made; never below the last one.
            program_id: Its identifier.
            fingerprint: See `fingerprint`; the first program to have one keeps it.
            embedding: ``(d,)``; None where nothing is compared but identity.

        Raises:
            ValueError: If the version goes back.
        """
        if version < self._version:
            raise ValueError(f"additions come in the order of versions: got {version} after {self._version}")
        self._version = version
        self._known.setdefault(fingerprint, (version, program_id))
        if embedding is None or not self._config.compares:
            return
        if self._ring is None:
            self._ring = _Ring(self._config.memory, len(embedding))
        self._ring.add(version, program_id, embedding)

    def check(self, step: int, attempt: int, version: int, fingerprint: str, embedding: np.ndarray | None) -> Screen:
        """Compares a child with what was added up to a version, whatever was added since.

        Args:
            step: The child's step.
            attempt: Which of the step's attempts made it.
            version: The latest version to look at.
            fingerprint: The child's.
            embedding: ``(d,)``, the child's; None where nothing is compared but identity.

        Raises:
            ValueError: If more than `SLACK` embeddings were added since that version and some of them took the place of
                what it would see.
        """
        first = self._known.get(fingerprint)
        if first is not None and first[0] <= version:
            return Screen(step, attempt, version, Verdict.KNOWN, first[1])
        nearest = None if embedding is None or self._ring is None else self._ring.nearest(version, embedding)
        if nearest is None:
            return Screen(step, attempt, version, Verdict.NEW)
        verdict = Verdict.NEAR if self._config.too_near(nearest) else Verdict.NEW
        borderline = self._config.is_borderline(nearest)
        return Screen(step, attempt, version, verdict, nearest.program_id, nearest.similarity, borderline)


class _Ring:
    """The latest embeddings, in a matrix whose rows are written over in turn."""

    def __init__(self, memory: int, dimension: int) -> None:
        self._memory = memory
        self._size = memory + SLACK
        # Rows are used one by one, and the system hands out the memory behind zeros only when it is written to.
        self._matrix = np.zeros((-(-self._size // _BLOCK), _BLOCK, dimension), dtype=np.float32)
        self._lengths = np.zeros(self._size)
        self._versions: list[int] = []
        self._ids: list[str] = []

    def add(self, version: int, program_id: str, embedding: np.ndarray) -> None:
        # The indices of these lists are additions, those of the matrix wrap around.
        row = len(self._ids) % self._size
        direction, self._lengths[row] = _parted(embedding)
        self._matrix[row // _BLOCK, row % _BLOCK] = direction
        self._versions.append(version)
        self._ids.append(program_id)

    def nearest(self, version: int, embedding: np.ndarray) -> Neighbour | None:
        """Returns the program most similar to an embedding at a version; None when there is none.

        Blocks that hold nothing yet are left out; every other one is multiplied whole, whatever of it the version sees.
        """
        end = bisect.bisect_right(self._versions, version)
        start = max(0, end - self._memory)
        if start < len(self._ids) - self._size:
            raise ValueError(f"version {version} is more than {SLACK} embeddings old; screen at a later one (a smaller lag)")
        if start == end:
            return None
        direction, length = _parted(embedding)
        filled = self._matrix[: -(-min(len(self._ids), self._size) // _BLOCK)]
        cosines = np.concatenate([block @ direction for block in filled])
        rows = np.arange(start, end) % self._size
        best = int(np.argmax(cosines[rows]))
        similarity = float(cosines[rows[best]])
        return Neighbour(self._ids[start + best], similarity, (1 - similarity) * length * float(self._lengths[rows[best]]))


def _parted(embedding: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns an embedding's direction and length, rounded as the archive rounds it."""
    rounded = unpack(pack(embedding))
    length = max(float(np.linalg.norm(rounded)), 1e-12)
    return rounded / np.float32(length), length
