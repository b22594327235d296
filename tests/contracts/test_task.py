import pytest
from conftest import PARABOLA

from evolve.tasks.base import load
from evolve.tasks.catalog import bundled_folders
from evolve.testing.task import TaskContract


class TestParabola(TaskContract):
    def make(self):
        return load(PARABOLA, "folder")


@pytest.mark.slow
class TestCirclePacking(TaskContract):
    def make(self):
        return load(bundled_folders()["circle_packing"], "bundled")
