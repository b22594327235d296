"""The contract of a task, for the tests of packages that bring tasks along."""

from __future__ import annotations

import asyncio

from evolve.checks import Check, check_task
from evolve.config import resolve
from evolve.edits import mutable_regions
from evolve.program import Task


class TaskContract:
    """Tests of one task; subclass it and return the task from `make`, by `evolve.find_task` or `evolve.tasks.base.load`."""

    def make(self) -> Task:
        """Returns the task under test."""
        raise NotImplementedError

    def checks(self) -> list[Check]:
        """Runs everything that `evolve task check` runs."""
        task = self.make()
        return asyncio.run(check_task(task, resolve(task, options={"workers": 1})))

    def test_every_check_holds(self) -> None:
        failed = [check for check in self.checks() if not check.ok]
        assert failed == []

    def test_it_says_what_it_is_about(self) -> None:
        task = self.make()
        assert task.name
        assert task.summary

    def test_loading_it_twice_gives_the_same_evaluator(self) -> None:
        assert self.make().evaluator_sha256 == self.make().evaluator_sha256

    def test_something_may_change(self) -> None:
        regions = mutable_regions(self.make().files)
        assert any(region.end > region.start for spans in regions.values() for region in spans)

    def test_a_known_best_has_a_source(self) -> None:
        objective = self.make().objective
        assert objective.best_known is None or objective.best_known_source
