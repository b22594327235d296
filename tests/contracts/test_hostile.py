from dataclasses import replace

import pytest
from small_placement_kit import with_settings

from evolve.errors import TaskError
from evolve.evaluators.sandbox import available_levels
from evolve.program import Isolation
from evolve.tasks.base import load
from evolve.tasks.catalog import bundled_folders
from evolve.testing.hostile.runner import ProvingGround
from evolve.testing.hostile.suite import HostileSuite

#: Hostile programs are written in Python. What those of other languages could try is among their tasks' own attacks. Tasks that
#: train a model for every program would take hours: tests/evaluators/moe/test_moe_hostile.py attacks their hooks. Those of expert
#: placement are tried with small traces, below.
PYTHON = [
    name
    for name, folder in sorted(bundled_folders().items())
    if next(iter(load(folder, "bundled").files)).endswith(".py") and not name.startswith(("moe_", "eplb_"))
]


def strongest():
    return max((report.level for report in available_levels() if report.available), key=lambda level: level.rank)


class TestCirclePackingAtEveryLevel(HostileSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return load(bundled_folders()["circle_packing"], "bundled")


class TestOtherTasksAtTheStrongestLevel(HostileSuite):
    """What a level stops does not depend on the task; that a task's own files and callbacks open nothing does."""

    @pytest.fixture(scope="class", params=[name for name in PYTHON if name != "circle_packing"])
    @classmethod
    def task(cls, request):
        return load(bundled_folders()[request.param], "bundled")

    @pytest.fixture(scope="class")
    @classmethod
    def isolation(cls):
        return strongest()


class TestExpertPlacementAtTheStrongestLevel(HostileSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def task(cls, tmp_path_factory):
        return with_settings("eplb_traffic", tmp_path_factory.mktemp("placement"), presets='["drift"]', layers=2, windows=2)

    @pytest.fixture(scope="class")
    @classmethod
    def isolation(cls):
        return strongest()


class TestExpertPlacementLeaderboardAtTheStrongestLevel(HostileSuite):
    #: Between the slowest and the quickest programs lie 10 points for their time, and what a busy machine makes of it.
    tolerance = 12.0

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls, tmp_path_factory):
        small = with_settings("eplb_adrs", tmp_path_factory.mktemp("placement"), layers=2, windows=2)
        # With the one process that the task allows, most of these programs would not come to what they try.
        return replace(small, limits=replace(small.limits, max_processes=32))

    @pytest.fixture(scope="class")
    @classmethod
    def isolation(cls):
        return strongest()


def test_a_task_of_another_language_is_refused_with_the_reason():
    with pytest.raises(TaskError, match=r"hostile programs are written in Python and cannot be put in front of initial\.js"):
        ProvingGround(load(bundled_folders()["cache_eviction"], "bundled"), Isolation.PROCESS)
