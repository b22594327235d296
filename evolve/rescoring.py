"""Scores a run's programs again, after its task's evaluator has changed.

An archive is append-only, so the new scores are a run of their own, which names the one that it rescores. Its starting programs
are the old run's (`evolve.opening`), and it has no steps: so it is scored in parallel, survives being killed, can be shown,
replayed and started from, and `evolve resume RUN --steps N` searches on from all of its programs.

Each program is scored once. A search evaluates twice what would be its best; here nothing is chosen, and a search that goes on from
there evaluates twice what it makes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evolve.archive.records import RunRecord, Start
from evolve.archive.rescorable import Scored, scored_programs
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.arms import make_mutators
from evolve.config import RunConfig
from evolve.errors import ConfigError
from evolve.maker import Maker
from evolve.opening import StartsWatcher
from evolve.program import Direction, Task
from evolve.recording import begun_with, create, task_of
from evolve.session import Ending, Parts, drive
from evolve.settings import build


@dataclass(frozen=True, slots=True)
class Comparison:
    """One program under both evaluators.

    Attributes:
        program: Its identifier in the old run.
        rescored: Its identifier in the new run; None until it is scored.
        before: Its old objective.
        after: Its new objective; None when it has none.
        outcome: How it ended under the new evaluator; None until it is scored.
        rank_before: Its place among the programs compared, from 1.
        rank_after: Its place among those that have a new objective; None when it has none.
    """

    program: str
    rescored: str | None
    before: float
    after: float | None
    outcome: str | None
    rank_before: int
    rank_after: int | None


class Changes(NamedTuple):
    """What another evaluator changed.

    Attributes:
        better, worse: Programs whose objective is better or worse than before.
        failed: Programs that have no objective any more.
        moved: Programs whose rank is another one, those without any left out.
        best_before, best: The best program by each evaluator, of equals that of the best rank by the other; None where there is
            none.
    """

    better: int
    worse: int
    failed: int
    moved: int
    best_before: Comparison | None
    best: Comparison | None


@dataclass(frozen=True, slots=True)
class Rescored:
    """What rescoring a run came to.

    Attributes:
        of: The old run's number.
        run: The new run's number; None when the evaluator is the one that the old run was scored by.
        programs: By new rank, those without a new objective last.
        ending: How the session ended; None when nothing was left to score.
        direction: Whether more of the objective is better.
    """

    of: int
    run: int | None
    programs: tuple[Comparison, ...] = ()
    ending: Ending | None = None
    direction: Direction = Direction.MAXIMIZE

    @property
    def changes(self) -> Changes:
        """What the new scores changed; what was not scored yet counts nowhere."""
        scored = [row for row in self.programs if row.outcome is not None]
        gains = [
            self.direction.oriented(row.after) - self.direction.oriented(row.before) for row in scored if row.after is not None
        ]
        ranked = [row for row in scored if row.rank_after is not None]
        return Changes(
            better=sum(gain > 0 for gain in gains),
            worse=sum(gain < 0 for gain in gains),
            failed=len(scored) - len(ranked),
            moved=sum(row.rank_after != row.rank_before for row in ranked),
            best_before=min(scored, key=lambda row: (row.rank_before, row.rank_after or math.inf), default=None),
            best=min(ranked, key=lambda row: (row.rank_after or math.inf, row.rank_before), default=None),
        )


async def rescore(
    archive: Archive,
    number: int,
    *,
    task: Task | None = None,
    top: int | None = None,
    name: str = "",
    workers: int | None = None,
    force: bool = False,
    watcher: StartsWatcher | None = None,
) -> Rescored:
    """Scores a run's distinct scored programs with its task's present evaluator, into a run of their own.

    Rescoring that was interrupted goes on: the same call finds its run. One that is finished is compared again.

    Args:
        archive: Where the run is, and the new one will be.
        number: Which run.
        task: The task of a run whose task was given inline.
        top: How many, the best ones, and the initial program; None is all.
        name: What to call the new run.
        workers: Evaluations at once.
        force: Whether to score again by an evaluator that the run, or a finished rescoring of it, was scored by.
        watcher: Told of each program as it is scored.

    Raises:
        ConfigError: If nothing of the run has scored, or ``top`` is not positive.
        EvolveError: If its task is gone, or no program scores by the new evaluator.
    """
    record = archive.run_record(number)
    task = task_of(record, task)
    if top is not None and top < 1:
        raise ConfigError(f"top must be >= 1, got {top}")
    if task.evaluator_sha256 == record.evaluator_sha256 and not force:
        return Rescored(number, None)
    chosen = _chosen(archive, record, top)
    starts = _starts(archive, record, chosen)
    task = begun_with(task, starts[0].files)
    changes = {"steps": 0, "max_seconds": None, "budget_usd": None, "workers": workers}
    config = build(RunConfig, {**record.config, **changes}, "run")
    found = _begun(archive, record, task, starts, name=name, force=force)
    if found is None:
        command = f"evolve rescore {record.name}" + (f" --top {top}" if top is not None else "")
        found = create(archive, task, config, name, _nobody(task, config), starts=starts, rescores=number, command=command)
    ending = None
    if not _finished(archive, found):
        parts = Parts(arms=make_mutators(task, config), notes=())
        ending = await drive(archive, found, task, config, starts_watcher=watcher, parts=parts)
    return Rescored(number, found, tuple(_comparisons(archive, record, found, chosen)), ending, Direction(record.direction))


def _nobody(task: Task, config: RunConfig) -> Maker:
    """Makes no model: neither prices nor templates are wanted, which may be gone or elsewhere."""
    return Maker(task, dataclasses.replace(config, prices=None, prompts=dataclasses.replace(config.prompts, templates=None)))


def _chosen(archive: Archive, record: RunRecord, top: int | None) -> list[Scored]:
    """Picks the programs to score: the initial one first, the others best first."""
    direction = Direction(record.direction)
    scored = scored_programs(archive, record.number)
    if not scored:
        raise ConfigError(f"run {record.name} has no scored program to rescore")
    ranked = sorted(scored, key=lambda program: (-direction.oriented(program.objective), program.step))
    best = ranked if top is None else ranked[:top]
    initial = [program for program in ranked if program.step == 0]
    return initial + [program for program in best if program.step != 0]


def _starts(archive: Archive, record: RunRecord, chosen: Sequence[Scored]) -> list[Start]:
    sources = archive.sources(record.number, [program.step for program in chosen])
    return [Start(f"{record.name}/{program.program_id}", sources[program.step]) for program in chosen]


def _begun(archive: Archive, record: RunRecord, task: Task, starts: Sequence[Start], *, name: str, force: bool) -> int | None:
    """Finds the rescoring of the same programs by the same evaluator that was begun last; None to begin one."""
    origins = [start.origin for start in starts]
    for number in reversed(archive.rescorings(record.number)):
        begun = archive.run_record(number)
        same = begun.evaluator_sha256 == task.evaluator_sha256 and name in ("", begun.name)
        if same and [start.origin for start in archive.starts(number)] == origins:
            return None if force and _finished(archive, number) else number
    return None


def _finished(archive: Archive, number: int) -> bool:
    session = archive.session(number)
    return session is not None and session.status == "finished"


def _comparisons(archive: Archive, record: RunRecord, rescored: int, chosen: Sequence[Scored]) -> list[Comparison]:
    """Compares the programs, by their new rank."""
    direction = Direction(record.direction)
    after = {start["origin"].rpartition("/")[2]: start for start in summary(archive, rescored)["starts"]}
    old_ranks = _ranks({program.program_id: direction.oriented(program.objective) for program in chosen})
    new = {name: start["objective"] for name, start in after.items() if start["objective"] is not None}
    new_ranks = _ranks({name: direction.oriented(objective) for name, objective in new.items()})
    compared = [
        Comparison(
            program=program.program_id,
            rescored=after[program.program_id]["program"],
            before=program.objective,
            after=after[program.program_id]["objective"],
            outcome=after[program.program_id]["outcome"],
            rank_before=old_ranks[program.program_id],
            rank_after=new_ranks.get(program.program_id),
        )
        for program in chosen
    ]
    return sorted(compared, key=lambda row: (row.rank_after is None, row.rank_after or 0, row.rank_before, row.program))


def _ranks(fitness: Mapping[str, float]) -> dict[str, int]:
    """Ranks from 1, larger fitness first; equals share a rank, so that a rank moves for a score alone."""
    ordered = sorted(fitness.values(), reverse=True)
    first: dict[float, int] = {}
    for place, value in enumerate(ordered, 1):
        first.setdefault(value, place)
    return {name: first[value] for name, value in fitness.items()}
