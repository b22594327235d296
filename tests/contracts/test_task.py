from typing import ClassVar

import pytest
from conftest import PARABOLA
from small_placement_kit import with_settings

from evolve.evaluators import tools
from evolve.tasks.base import load
from evolve.tasks.catalog import bundled_folders
from evolve.testing.task import TaskContract


class TestParabola(TaskContract):
    def make(self):
        return load(PARABOLA, "folder")


@pytest.mark.slow
class TestVehicleRouting(TaskContract):
    def make(self):
        return load(bundled_folders()["vehicle_routing"], "bundled")


@pytest.mark.slow
@pytest.mark.skipif(bool(tools.missing(["g++"])), reason="g++ is not installed")
class TestLosslessCompression(TaskContract):
    def make(self):
        return load(bundled_folders()["lossless_compression"], "bundled")


@pytest.mark.slow
@pytest.mark.skipif(bool(tools.missing(["node"])), reason="node is not installed")
class TestCacheEviction(TaskContract):
    def make(self):
        return load(bundled_folders()["cache_eviction"], "bundled")


@pytest.mark.slow
class TestCirclePacking(TaskContract):
    def make(self):
        return load(bundled_folders()["circle_packing"], "bundled")


class PlacementContract(TaskContract):
    """With fewer traces and layers: all of them take ten seconds."""

    name = ""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self._task = with_settings(self.name, tmp_path, hidden=1, layers=4, **self.settings)

    def make(self):
        return load(self._task.folder, "folder")


@pytest.mark.slow
class TestExpertPlacement(PlacementContract):
    name = "eplb_traffic"
    settings: ClassVar = {"searched": 1}


@pytest.mark.slow
class TestExpertPlacementLeaderboard(PlacementContract):
    name = "eplb_adrs"
    settings: ClassVar = {}
