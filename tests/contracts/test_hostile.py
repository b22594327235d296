import pytest

from evolve.tasks.base import load
from evolve.tasks.catalog import bundled_folders
from evolve.testing.hostile.suite import HostileSuite


class TestBundledTasks(HostileSuite):
    @pytest.fixture(scope="class", params=sorted(bundled_folders()))
    @classmethod
    def task(cls, request):
        return load(bundled_folders()[request.param], "bundled")
