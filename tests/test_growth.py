"""An executor that grows while its evaluations take their time is given more of them at once."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from conftest import PARABOLA

from evolve.archive.store import Archive
from evolve.config import resolve
from evolve.executors.base import Evaluated
from evolve.program import Evaluation, Files, Isolation, Outcome
from evolve.recording import create
from evolve.session import Parts, drive
from evolve.tasks.catalog import find

SLOTS = 4


class Growing:
    """Holds back all evaluations but those of the initial program until as many are under way as it has grown to."""

    isolation = Isolation.PROCESS

    def __init__(self) -> None:
        self.slots = 1
        self.under_way = self.asked = self.most = 0
        self.full = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    async def evaluate(self, files: Files, *, seed: int, artifacts: bool = False, fresh: bool = False) -> Evaluated:
        self.asked += 1
        if self.asked > 2:  # the initial program, and its verification
            self.slots = SLOTS
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if self.under_way == SLOTS:
                self.full.set()
            await self.full.wait()
            self.under_way -= 1
        return Evaluated(Evaluation(Outcome.OK, 1.0, isolation=self.isolation))

    async def holdout(self, files: Files, *, seed: int) -> Evaluation | None:
        return None

    async def paired(self, files: Files, *, seed: int, artifacts: bool = False) -> Evaluated | None:
        return None


def test_nodes_that_join_while_every_evaluation_takes_its_time_are_used(tmp_path):
    task = find(str(PARABOLA))
    config = resolve(task, options={"steps": 12, "order": "asap", "stages": {"proposals": 1}})

    async def grow() -> int:
        executor = Growing()
        with Archive.open(tmp_path / "a.db", create=True) as archive:
            async with asyncio.timeout(60):
                await drive(archive, create(archive, task, config, ""), task, config, parts=Parts(executor=executor))
        return executor.most

    assert asyncio.run(grow()) == SLOTS
