"""The hostile programs as a class of tests: inherit `HostileSuite` and supply the task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from evolve.evaluators.sandbox import available_levels
from evolve.program import Isolation, Task
from evolve.testing.hostile.programs import PROGRAMS
from evolve.testing.hostile.record import Hostile
from evolve.testing.hostile.runner import Observation, ProvingGround

_PARAMETERS = [pytest.param(program, id=program.name, marks=[pytest.mark.slow] if program.slow else []) for program in PROGRAMS]


class Tries:
    """A proving ground that tests, which are not coroutines, can use."""

    def __init__(self, ground: ProvingGround, loop: asyncio.Runner) -> None:
        self._ground = ground
        self._loop = loop

    def runs(self, program: Hostile) -> bool:
        """Tells whether a program is run at this level at all."""
        return self._ground.runs(program)

    def run(self, program: Hostile) -> Observation:
        """Tries one program."""
        return self._loop.run(self._ground.run(program))


class HostileSuite:
    """One test per hostile program, at every level that this machine offers.

    Override the fixture ``task``; ``isolation`` as well, to try some levels only. Needs the marker ``slow``.

    Attributes:
        tolerance: How far a score of the same program may be from another, for tasks that measure time.
    """

    tolerance = 0.0

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls) -> Task:
        """Supplies the task whose initial program the hostile ones are put in front of."""
        raise NotImplementedError

    @pytest.fixture(scope="class", params=list(Isolation), ids=str)
    @classmethod
    def isolation(cls, request: pytest.FixtureRequest) -> Isolation:
        """Supplies the level."""
        level: Isolation = request.param
        report = next(report for report in available_levels() if report.level is level)
        if not report.available:
            pytest.skip(f"level {level} is not available: {report.detail}")
        return level

    @pytest.fixture(scope="class")
    @classmethod
    def ground(cls, task: Task, isolation: Isolation) -> Iterator[Tries]:
        """Starts what all programs are tried on."""
        with asyncio.Runner() as loop:
            ground = ProvingGround(task, isolation, cls.tolerance)
            loop.run(ground.__aenter__())
            try:
                yield Tries(ground, loop)
            finally:
                loop.run(ground.__aexit__(None, None, None))

    @pytest.mark.parametrize("program", _PARAMETERS)
    def test_it_is_stopped(self, ground: Tries, program: Hostile) -> None:
        if not ground.runs(program):
            pytest.skip(f"it would harm the machine below level {program.least}")
        observation = ground.run(program)
        assert not observation.failed, f"{program.tries} Seen: {observation.seen}"
