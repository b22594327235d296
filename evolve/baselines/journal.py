"""Keeps every measurement of a task's baselines: ``results.jsonl``, one JSON object a line, in the order in which they came.

What was measured by another evaluator, or of another source, stays in the file and does not count.
"""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evolve.baselines.programs import BaselineProgram
from evolve.errors import ArchiveError, ConfigError
from evolve.executors.base import Evaluated
from evolve.executors.messages import from_plain, to_plain
from evolve.program import Evaluation, Task

NAME = "results.jsonl"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement of one baseline.

    Attributes:
        baseline: Its name.
        source_sha256: Hash of the whole program.
        seed: What it was measured with.
        evaluation: What was found.
        machine: Where, in words.
        artifacts: Names of the files that the evaluator wrote; None if they were not asked for.
    """

    baseline: str
    source_sha256: str
    seed: int
    evaluation: Evaluation
    machine: str
    artifacts: tuple[str, ...] | None = None


class Journal:
    """The measurements in a folder; a context manager that keeps other writers out."""

    def __init__(self, folder: Path, task: Task) -> None:
        """Reads what is there, and sees that more can be written.

        Args:
            folder: Made when it does not exist.
            task: Whose baselines are measured.

        Raises:
            ConfigError: If it cannot be written, another process writes to it, or it holds measurements of another task.
        """
        self.path = folder / NAME
        self._task = task
        self._known: dict[tuple[str, int], Measurement] = {}
        self._others: list[Measurement] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise self._unusable(error) from error
        try:
            for measurement in self._read(self._locked()):
                self._take(measurement)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def find(self, program: BaselineProgram, seed: int) -> Measurement | None:
        """Returns the latest measurement of a program with a seed, by today's evaluator."""
        return self._known.get((program.source_sha256, seed))

    def write(self, measurement: Measurement) -> None:
        """Keeps a measurement.

        Raises:
            ArchiveError: If it cannot be written.
        """
        evaluation = to_plain(Evaluated(measurement.evaluation))
        record = {
            "task": self._task.name,
            "baseline": measurement.baseline,
            "source_sha256": measurement.source_sha256,
            "seed": measurement.seed,
            "machine": measurement.machine,
            **{key: value for key, value in evaluation.items() if key != "figure_png"},
            "artifacts": None if measurement.artifacts is None else list(measurement.artifacts),
        }
        try:
            self._file.write(json.dumps(record).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise ArchiveError(f"{self.path} cannot be written, so no more is measured: {error.strerror}") from error
        self._take(measurement)

    def left_out(self, programs: Sequence[BaselineProgram]) -> list[str]:
        """Says what does not count: measurements by other evaluators, and of other sources of these programs."""
        evaluators = Counter(measurement.evaluation.evaluator_sha256 for measurement in self._others)
        words = [
            f"{count} measurements by another evaluator ({sha[:12]}; today's is {self._task.evaluator_sha256[:12]}) do not count"
            for sha, count in evaluators.items()
        ]
        for program in programs:
            stale = [known for known in self._known.values() if known.baseline == program.name]
            stale = [known for known in stale if known.source_sha256 != program.source_sha256]
            if stale:
                words.append(f"{len(stale)} measurements of {program.name} do not count: its source was another")
        return words

    def _locked(self) -> bytes:
        """Keeps other writers out, mends a write that was cut short, and returns what is there."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.seek(0)
            content = self._file.read()
            if content and not content.endswith(b"\n"):
                self._file.write(b"\n")
        except BlockingIOError as error:
            raise ConfigError(f"{self.path} is being written by another process; wait for it, or give another --output") from error
        except OSError as error:
            raise self._unusable(error) from error
        return content

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(f"{self.path} cannot be written, and measurements are kept there: {error.strerror}")

    def _take(self, measurement: Measurement) -> None:
        if measurement.evaluation.evaluator_sha256 == self._task.evaluator_sha256:
            self._known[measurement.source_sha256, measurement.seed] = measurement
        else:
            self._others.append(measurement)

    def _read(self, content: bytes) -> Iterator[Measurement]:
        for line in content.splitlines():
            try:
                record = json.loads(line)
                task, measurement = record["task"], _measurement(record)
            except (ValueError, KeyError, TypeError):  # cut short by a crash, or edited
                continue
            if task != self._task.name:
                raise ConfigError(f"{self.path} holds measurements of task {task}, not of {self._task.name}; give another --output")
            yield measurement


def _measurement(record: Mapping[str, Any]) -> Measurement:  # Any: JSON values
    written = record["artifacts"]
    return Measurement(
        record["baseline"],
        record["source_sha256"],
        record["seed"],
        from_plain({**record, "figure_png": None, "artifacts": {}}).evaluation,
        record["machine"],
        None if written is None else tuple(written),
    )
