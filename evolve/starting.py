"""Reads what a run is to start from: files, folders, other runs' programs, the task's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from evolve.archive.novelty import fingerprint
from evolve.archive.records import Start
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.edits import check_edit
from evolve.errors import ConfigError, RunNotFound
from evolve.program import Files, Task

logger = logging.getLogger(__name__)

#: What names the task's own program.
INITIAL = "initial"
#: Words after ``RUN/`` that stand for a program of the run.
_WORDS = ("initial", "best")


def find_starts(words: Sequence[str | Path], task: Task, archive: str | Path) -> list[Start]:
    """Reads starting points; two programs that are alike but for comments and layout are one.

    Args:
        words: Each ``"initial"``, a file, a folder with the task's program files, a RUN (its best program), or
            ``RUN/PROGRAM`` with an identifier's beginning, ``initial`` or ``best``. What exists as a file or folder is one.
        task: What is being solved.
        archive: File or URL of the archive that RUNs are looked up in; it need not exist when there are none.

    Raises:
        ConfigError: If one is missing, cannot be read, belongs to another task, or differs from the task's program outside the
            EVOLVE-BLOCK regions.
        ArchiveError: If the archive cannot be opened.
    """
    found: list[Start] = []
    marks: dict[str, str] = {}
    for word in words:
        start = _find(word, task, archive)
        _check_fit(start, task)
        mark = fingerprint(start.files)
        if mark in marks:
            logger.warning("starting point %s is the same program as %s and is dropped", start.origin, marks[mark])
            continue
        marks[mark] = start.origin
        found.append(start)
    return found


def _find(word: str | Path, task: Task, archive: str | Path) -> Start:
    if word == INITIAL:
        return Start(INITIAL, task.files)
    path = Path(word)
    if path.exists():
        return Start(str(word), _read(path, task))
    if isinstance(word, Path):
        raise ConfigError(f"starting point {word} does not exist")
    return _of_run(word, task, archive)


def _read(path: Path, task: Task) -> Files:
    """Reads a program: of a task with one file that file, of any task a folder that holds all of its files."""
    names = list(task.files)
    if not path.is_dir() and len(names) > 1:
        raise ConfigError(
            f"starting point {path} is one file, and programs of task {task.name} have {len(names)} ({', '.join(names)}); "
            "give a folder that holds them"
        )
    places = {name: path / name if path.is_dir() else path for name in names}
    missing = [name for name, place in places.items() if not place.is_file()]
    if missing:
        raise ConfigError(f"starting point {path} lacks {', '.join(missing)}; programs of task {task.name} have {', '.join(names)}")
    try:
        return {name: place.read_text(encoding="utf-8") for name, place in places.items()}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"starting point {path} cannot be read: {error}") from error


def _of_run(word: str, task: Task, archive: str | Path) -> Start:
    """Reads a program of a recorded run."""
    if "://" not in str(archive) and not Path(archive).exists():
        raise ConfigError(f"starting point {word!r}: there is no such file or folder, and no archive {archive} that has such a run")
    run, _, wanted = word.partition("/")
    with Archive.open(archive) as opened:
        try:
            number = opened.find_run(run)
        except RunNotFound as error:
            raise ConfigError(f"starting point {word!r} is no file and no folder, and as a run: {error}") from error
        record = opened.run_record(number)
        if record.task != task.name:
            raise ConfigError(f"starting point {word!r}: run {record.name} is of task {record.task}, not of {task.name}")
        program_id = _program_of(opened, number, wanted or "best")
        program, _ = opened.program(number, program_id)
    if record.evaluator_sha256 != task.evaluator_sha256:
        logger.warning(
            "starting point %s: run %s was scored by another evaluator (%s, the task has %s); its program is scored anew",
            word, record.name, record.evaluator_sha256[:12], task.evaluator_sha256[:12],
        )  # fmt: skip
    return Start(f"{record.name}/{program_id}", program.files)


def _program_of(opened: Archive, number: int, wanted: str) -> str:
    if wanted not in _WORDS:
        return opened.find_program(number, wanted)[1]
    shown = summary(opened, number)
    if shown[wanted] is None:
        raise ConfigError(f"starting point: run {shown['name']} has no {wanted} program, for nothing has scored yet")
    return str(shown[wanted]["program"])


def _check_fit(start: Start, task: Task) -> None:
    """Refuses a program whose fixed text is not the task's: evaluators and prompts rely on it, and edits never restore it."""
    try:
        check_edit(task.files, start.files)
    except ValueError as error:
        raise ConfigError(
            f"starting point {start.origin} does not fit task {task.name}; with the task's program as the parent, and the "
            f"starting point as the edit: {error}"
        ) from error
